import type { ClientDirectory } from '../clients/directory.ts'
import { DoctorReports } from '../doctor/reports.ts'
import { OpenIdSignIn } from '../sessions/open-id.ts'
import { Sessions } from '../sessions/sessions.ts'
import { SignInLinks } from '../sessions/sign-in-links.ts'
import type { Foundation } from './foundation.ts'

/** Makes what only the console needs. */
export function wireConsole(foundation: Foundation, directory: ClientDirectory) {
  const { config, hash } = foundation
  const { database } = foundation.common
  const sessionHash = hash('console-session')
  const { operatorKey, consoleUrl, openId } = config
  return {
    sessions: new Sessions({ database, directory, hash: sessionHash, operatorKey }),
    /** Null: people sign in with keys only. */
    openId: openId === null ? null : new OpenIdSignIn(openId, consoleUrl),
    signInLinks: new SignInLinks(database, sessionHash),
    doctor: new DoctorReports(config, database),
    /** Origin of the console as browsers see it. */
    consoleUrl,
  }
}
