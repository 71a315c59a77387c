import { Act } from '../../src/audit/act.ts'

/** An act of a test that calls a service without HTTP. */
export const testAct = () =>
  new Act(() => ({ actor: 'tester', action: 'testAct', outcome: 'done' }))
