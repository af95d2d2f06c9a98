/** A class that can be made with what its container injects. */
export type Constructor<T> = new (...args: never[]) => T;
