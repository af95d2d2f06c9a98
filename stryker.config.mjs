/** Mutation tests of what all transports share. `npx stryker run`; one file: `npx stryker run --mutate lib/core/deque.ts`. */
export default {
  testRunner: 'jest',
  testRunnerNodeArgs: ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'],
  jest: {
    configFile: 'jest.config.ts',
    // the specs that need neither Nest nor a broker; without the set-up that asks for one
    config: {
      testMatch: ['<rootDir>/test/mutation/units.ts'],
      testEnvironment: './test/mutation/bail.environment.cjs',
      roots: ['<rootDir>/lib', '<rootDir>/test'],
      moduleNameMapper: {
        '^(\\.{1,2}/.*)\\.js$': ['$1.js', '$1.ts'],
        // one file instead of 250 for each mutant
        '^rxjs$': '<rootDir>/node_modules/rxjs/dist/bundles/rxjs.umd.min.js',
      },
      globalSetup: null,
      testTimeout: 2_000,
    },
    enableFindRelatedTests: false,
  },
  coverageAnalysis: 'perTest',
  mutate: ['lib/core/**/*.ts', 'lib/bus/**/*.ts'],
  // what runs once while a module loads would need all tests each time: tables of limits, shapes of options
  ignoreStatic: true,
  // the transform drops types without looking at them
  disableTypeChecks: false,
  ignorePatterns: ['**', '!lib/**', '!test/{unit,mutation}/**', '!jest.config.ts', '!package.json', '!tsconfig.json'],
  tempDirName: '.stryker-tmp',
  incrementalFile: '.stryker/incremental.json',
  jsonReporter: { fileName: '.stryker/report.json' },
  reporters: ['json', 'clear-text'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  concurrency: 2,
  // each run leaves its module graph behind
  maxTestRunnerReuse: 50,
  timeoutMS: 5_000,
};
