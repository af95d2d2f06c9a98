import { describe, expect, it } from '@jest/globals';
import { ConfigurationError } from '../../../lib/core/errors.js';
import type { Serializer } from '../../../lib/core/serializer.js';
import { compressed } from '../../../lib/serializers/compressed.serializer.js';
import { encrypted } from '../../../lib/serializers/encrypted.serializer.js';
import { JsonSerializer } from '../../../lib/serializers/json.serializer.js';

const keys = { one: Buffer.alloc(32, 1) };

describe.each<[string, (inner: Serializer) => Serializer]>([
  ['compressed()', (inner) => compressed(inner)],
  ['encrypted()', (inner) => encrypted(inner, { keys, activeKeyId: 'one' })],
])('%s', (name, wrap) => {
  it.each([['json'], [undefined], [null], [JsonSerializer], [{ encode: () => Buffer.of() }]])(
    'refuses what is no serializer: %p',
    (inner) => {
      const wrapping = (): unknown => wrap(inner as unknown as Serializer);
      expect(wrapping).toThrow(ConfigurationError);
      expect(wrapping).toThrow(`${name} takes a serializer, such as new JsonSerializer()`);
    },
  );

  it('takes one', () => {
    expect(wrap(new JsonSerializer()).contentType).toBe('application/json');
  });
});
