/** A class that can be made with what its container injects. */
export type Constructor<T> = new (...args: never[]) => T;

/** Whether a function is a class. One that was compiled to an older language level is known by its methods. */
export function isClass(value: object): boolean {
  if (/^class\b/.test(Function.prototype.toString.call(value))) return true;
  const { prototype } = value as { readonly prototype?: unknown };
  return typeof prototype === 'object' && prototype !== null && Object.getOwnPropertyNames(prototype).length > 1;
}
