import { describe, expect, it } from '@jest/globals';
import { ConfigurationError, OnCommand, OnEvent } from '../../../lib/index.js';

describe('a decorator that is called as another compiler does it', () => {
  const method = (): void => undefined;

  it.each([
    ['@OnEvent', () => OnEvent('orders.*')],
    ['@OnCommand', () => OnCommand('orders.place')],
  ])('%s says what to switch on', (name, decorator) => {
    const decorate = decorator() as (...args: unknown[]) => void;
    // as ECMAScript has it; as esbuild does it without the option; at a property
    for (const args of [[method, { kind: 'method', name: 'on' }], [method], [{}, 'on', undefined]]) {
      expect(() => decorate(...args)).toThrow(ConfigurationError);
      expect(() => decorate(...args)).toThrow(new RegExp(`^${name} must stand at a method.*experimentalDecorators`));
    }
  });
});
