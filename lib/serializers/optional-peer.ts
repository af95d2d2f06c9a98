import { ConfigurationError } from '../core/errors.js';

/**
 * A package that is installed only by those who use it.
 *
 * @throws ConfigurationError when it is not there; whatever else goes wrong while it is loaded comes through
 */
export async function loadPeer<T>(name: string, who: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const isMissing = (code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND') && message.includes(`'${name}'`);
    if (!isMissing) throw cause;
    throw new ConfigurationError(`${who} needs the package ${name}. Install it: npm install ${name}`, { cause });
  }
}
