/** The part of Nest's LoggerService that the bus uses. Never given a payload, a header value or a credential. */
export interface BusLogger {
  log(message: string): void;
  warn(message: string): void;
  error(message: string, stack?: string): void;
  debug?(message: string): void;
}
