import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { Described } from '../../../lib/core/described.js';

class Link extends Described {
  readonly password = 'c4n4ry';

  toJSON(): unknown {
    return { endpoint: 'broker:1' };
  }
}

describe('Described', () => {
  it('is printed as what it says of itself', () => {
    const link = new Link();
    expect(inspect({ link })).toBe("{ link: { endpoint: 'broker:1' } }");
    expect(JSON.stringify({ link })).toBe('{"link":{"endpoint":"broker:1"}}');
  });
});
