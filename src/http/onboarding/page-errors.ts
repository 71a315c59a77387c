import type { FastifyError, FastifyInstance } from 'fastify'
import type { Onboarding } from '../../onboarding/service.ts'
import { asBrokerError } from '../plugins/problems.ts'
import { sendProblemPage } from './pages.ts'

/**
 * Makes errors of a scope pages, because a person sees them. The callback answers with a redirect
 * instead, so that its URL does not stay in the browser.
 */
export function sendErrorPages(app: FastifyInstance, onboarding: Onboarding): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const { code, statusCode, retryAfterSeconds } = asBrokerError(error)
    if (code === 'bad_request') return sendProblemPage(request, reply, 'malformed', statusCode)
    if (code === 'too_many_requests') {
      reply.header('retry-after', retryAfterSeconds)
      return sendProblemPage(request, reply, code, statusCode)
    }
    request.log.error({ err: error }, 'onboarding page failed')
    const problem = code === 'storage_unavailable' ? code : 'broken'
    const url = request.routeOptions.url === '/*' ? findProblemUrl(onboarding, problem) : undefined
    return url === undefined
      ? sendProblemPage(request, reply, problem, statusCode)
      : reply.redirect(url, 303)
  })
}

/** Returns the address of the page that shows a refusal. Only this broker can make it. */
export function problemUrl(
  onboarding: Onboarding,
  code: string,
  linkId: string | undefined,
): string {
  const query = new URLSearchParams({
    ...(linkId === undefined ? {} : { link: linkId }),
    mark: onboarding.pageMarks.ofProblem(code, linkId),
  })
  return `/onboarding/problems/${code}?${query}`
}

/** @returns `undefined` while the secret that marks such pages has not been read. */
function findProblemUrl(onboarding: Onboarding, code: string): string | undefined {
  try {
    return problemUrl(onboarding, code, undefined)
  } catch {
    return undefined
  }
}
