import type { HandlerRegistration } from '../../../lib/bus/group-definition.js';

/** What a decorated method asks for, with what a test cares about. */
export function aRegistration(
  fields: Partial<HandlerRegistration> & { readonly pattern?: string } = {},
): HandlerRegistration {
  const { pattern = 'orders.*', ...more } = fields;
  return {
    place: 'Mail.onOrder',
    group: 'mail',
    delivery: 'shared',
    rules: [{ pattern }],
    policy: {},
    invoke: () => undefined,
    ...more,
  };
}
