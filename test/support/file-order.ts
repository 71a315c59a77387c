/**
 * The test files that take longest, the longest first, as measured on two cores. A file that starts
 * last and takes a minute would keep one core busy while the other has nothing to do.
 */
const SLOWEST = [
  'deliveries',
  'copied-database',
  'storage',
  'recovery',
  'torture',
  'interleavings',
  'provider-outage',
  'embedded',
  'unclear-refresh',
  'installs',
  'onboarding',
  'secrets',
  'event-streams',
  'failover',
  'console-browser',
  'client-fleet',
  'rolling-update',
  'key-rotation',
  'replicas',
  'cli-onboarding',
  'cli',
  'refresh',
  'doctor',
  'insiders',
  'tokens',
  'prometheus',
  'escrow',
  'console-sign-in',
  'pause',
  'history',
  'breaker',
  'strangers',
  'hardening',
  'accounts',
  'buttons',
  'verify-adopt',
  'console-forms',
  'deploy',
  'client-generated',
  'access',
  'fuzz',
  'audit',
].map((name) => `test/${name}.test.ts`)

/** Returns the files in the order in which they should start; the others follow by name. */
export function slowestFirst(files: string[]): string[] {
  const listed = SLOWEST.filter((file) => files.includes(file))
  return [...listed, ...files.filter((file) => !listed.includes(file)).sort()]
}
