import { type BindingIndex, ScanningIndex } from '../core/binding-index.js';
import type { BindingRule, ExchangeHandler, Routable } from '../core/exchange.js';

/** What a routing rule is tried with: the more of what may come, the better. */
export interface ExchangeHandlerSamples {
  readonly rules: readonly BindingRule[];
  /** Some of them should match several rules, and some none. */
  readonly messages: readonly Routable[];
}

/**
 * Looks for broken promises of a routing rule of your own: those that its interface names, and that samples can show.
 *
 * @returns one sentence for each; none means that none was found, not that there is none
 * @example
 * expect(checkExchangeHandler(new TenantExchange(), { rules, messages })).toEqual([]);
 * @publicApi
 */
export function checkExchangeHandler(
  handler: ExchangeHandler,
  { rules, messages }: ExchangeHandlerSamples,
): readonly string[] {
  const problems = new Set<string>();
  const matched = rules.map((rule) => messages.map((message) => checkMatch(handler, rule, message, problems)));
  for (const [i, rule] of rules.entries()) {
    if (!handler.specificity(rule).every(Number.isFinite))
      problems.add(`specificity(${show(rule)}) must be a list of finite numbers.`);
    for (const [j, other] of rules.entries()) {
      const common = messages.find((_, k) => matched[i]?.[k] && matched[j]?.[k]);
      if (common && !handler.overlap(rule, other))
        problems.add(`overlap(${show(rule)}, ${show(other)}) is false, and ${show(common)} matches both.`);
      if (j < i && handler.overlap(rule, other) !== handler.overlap(other, rule))
        problems.add(`overlap(${show(rule)}, ${show(other)}) changes when the two are swapped.`);
    }
  }
  checkIndex(handler, { rules, messages }, matched, problems);
  return [...problems];
}

function checkMatch(handler: ExchangeHandler, rule: BindingRule, message: Routable, problems: Set<string>): boolean {
  try {
    handler.assertRule(rule);
    handler.assertTopic(message.topic);
  } catch (error) {
    problems.add(`A sample is refused, so nothing can be said of it: ${String(error)}`);
    return false;
  }
  const answer = handler.matches(rule, message);
  const call = `matches(${show(rule)}, ${show(message)})`;
  if (typeof answer !== 'boolean') problems.add(`${call} must be true or false.`);
  if (handler.matches({ ...rule }, { ...message }) !== answer)
    problems.add(`${call} answers differently the second time.`);
  if (!handler.usesHeaders && handler.matches(rule, { topic: message.topic, headers: {} }) !== answer)
    problems.add(`${call} depends on headers, and usesHeaders is false.`);
  return answer;
}

function checkIndex(
  handler: ExchangeHandler,
  { rules, messages }: ExchangeHandlerSamples,
  matched: readonly (readonly boolean[])[],
  problems: Set<string>,
): void {
  const index: BindingIndex<number> = handler.createIndex?.<number>() ?? new ScanningIndex(handler);
  const removals = rules.map((rule, i) => index.add(rule, i));
  const compare = (isThere: (i: number) => boolean, when: string): void => {
    for (const [k, message] of messages.entries()) {
      const found = new Set(index.find(message));
      const wrong = rules.find((_, i) => found.has(i) !== (isThere(i) && matched[i]?.[k] === true));
      if (wrong) problems.add(`The index and matches(${show(wrong)}, ${show(message)}) differ ${when}.`);
    }
  };
  compare(() => true, 'when all rules are there');
  for (const [i, remove] of removals.entries()) if (i % 2 === 0) remove();
  compare((i) => i % 2 === 1, 'when half of them are taken away');
}

function show(value: BindingRule | Routable): string {
  return JSON.stringify(value);
}
