import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { commandGroup } from '../../../lib/bus/command-group.js';
import { ConfigurationError } from '../../../lib/core/errors.js';

describe('the group of a command', () => {
  it('a command has the queue of its name', () => {
    expect(commandGroup('events', 'orders.place')).toBe('events.command.orders.place');
    expect(commandGroup('events', '{"cmd":"sum"}')).toBe('events.command.{"cmd":"sum"}');
  });

  it.each(['', 'a\0b', '*', 'orders.*', '#.placed', 'x'.repeat(241)])('%j names no command', (topic) => {
    expect(() => commandGroup('events', topic)).toThrow(ConfigurationError);
  });

  it('different commands have different queues', () => {
    const topic = fc.string({ minLength: 1, maxLength: 40 }).filter((text) => !/[*#\0]/.test(text));
    fc.assert(
      fc.property(topic, topic, (a, b) => {
        expect(commandGroup('events', a) === commandGroup('events', b)).toBe(a === b);
      }),
    );
  });
});
