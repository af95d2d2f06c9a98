/** An application under test: a `TestingModule`, or what is made of one. */
export interface TestApplication {
  get(token: never, options?: { readonly strict?: boolean }): unknown;
  init(): Promise<unknown>;
  close(): Promise<void>;
}

/** What `Test.createTestingModule()` of `@nestjs/testing` gives. */
export interface TestModuleBuilder<M extends TestApplication = TestApplication> {
  overrideProvider(token: string): { useValue(value: unknown): unknown };
  compile(): Promise<M>;
}
