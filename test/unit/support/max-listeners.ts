/** How many may listen to a signal without a warning; 0 for any number, of which `getMaxListeners` of Node 20 knows nothing. */
export function maxListenersOf(signal: AbortSignal): unknown {
  const key = Object.getOwnPropertySymbols(signal).find(({ description }) =>
    description?.endsWith('maxEventTargetListeners'),
  );
  return key && Reflect.get(signal, key);
}
