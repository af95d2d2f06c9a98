const NodeEnvironment = require('@stryker-mutator/jest-runner/jest-env/node');

/** The first failure has caught the mutant: the other tests are skipped, above all those that would hang as well. */
module.exports = class BailEnvironment extends NodeEnvironment {
  constructor(config, context) {
    super(config, context);
    const inner = this.handleTestEvent;
    let isCaught = false;
    this.handleTestEvent = async (event, state) => {
      if (event.name === 'test_start' && isCaught) event.test.mode = 'skip';
      if (event.name === 'test_done' && event.test.errors.length > 0) isCaught = true;
      await inner?.(event, state);
    };
  }
};
