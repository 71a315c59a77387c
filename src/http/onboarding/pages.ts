import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from '../../lib/type.ts'
import type { Progress } from '../../onboarding/service.ts'
import { type PublicPage, sendPublicPage, textsFor } from '../public-pages/send-public-page.ts'
import { canRetry, textNameOf } from '../public-pages/texts/outcome-text.ts'
import type { LinkOnPage } from './link-on-page.ts'
import { explainOutcome } from './outcome-texts.ts'

/** For the API description of a route that answers with a page. */
export const PageResponse = {
  description: 'a page that says what is wrong, and what to do',
  content: { 'text/html': { schema: Type.String() } },
}

/** Pages of every route that a person visits. */
export const PageErrors = {
  400: PageResponse,
  429: PageResponse,
  500: PageResponse,
  503: PageResponse,
}

/** What a page with a problem can say besides its code. */
interface ProblemContext {
  /** The link that led here; undefined when it is not known. */
  link?: LinkOnPage | undefined
  /** The account that was chosen, as the provider names it. */
  chosen?: string | null
  /** What the page that opened the window is told besides the code. */
  told?: { integration: string; account_id: number | null; domain: string | null }
}

/** Shows the outcome of an onboarding, or that it is in progress. */
export function sendProgressPage(
  request: FastifyRequest,
  reply: FastifyReply,
  progress: Progress,
  link: LinkOnPage | undefined,
): FastifyReply {
  const { outcome, domain, accountId, integration } = progress
  const opener = link?.openerOrigin ?? null
  const { texts, fill } = textsFor(request)
  if (outcome === null) {
    return sendPublicPage(request, reply, {
      ...texts.connecting,
      status: 200,
      mark: '…',
      refreshSeconds: 2,
      hasOpener: opener !== null,
    })
  }
  const told = { integration, account_id: accountId, domain }
  if (outcome !== 'connected') {
    const chosen = domain ?? progress.referer
    return sendProblemPage(request, reply, outcome, 200, { link, chosen, told })
  }
  const values = { domain: domain ?? '', account: accountId ?? '' }
  const access = request.server.brandName === null ? texts.accessGranted : texts.accessGrantedTo
  return sendPublicPage(request, reply, {
    status: 200,
    mark: '✓',
    title: fill(texts.connected.title, values),
    text: `${fill(texts.connected.text, values)} ${fill(access)}`,
    tell: opener === null ? undefined : { origin: opener, outcome: { outcome, ...told } },
  })
}

/** Answers the provider's server, which does not read the page. */
export function sendReceivedPage(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { received } = textsFor(request).texts
  return sendPublicPage(request, reply, { ...received, status: 200, mark: '…' })
}

/** Shows what is wrong with a link, a callback or an onboarding, and what the person can do. */
export function sendProblemPage(
  request: FastifyRequest,
  reply: FastifyReply,
  code: string,
  status = 400,
  context: ProblemContext = {},
): FastifyReply {
  const { link, told } = context
  const { texts } = textsFor(request)
  const name = textNameOf(code)
  const retryUrl = canRetry(name) ? link?.retryUrl : undefined
  const opener = link?.openerOrigin ?? null
  return sendPublicPage(request, reply, {
    ...explain(request, code, context),
    status,
    mark: '✗',
    code,
    details: detailsOf(code, texts.forTheCompany),
    retry: retryUrl ? { url: retryUrl, label: texts.tryAgain } : undefined,
    tell: opener === null ? undefined : { origin: opener, outcome: { outcome: code, ...told } },
  })
}

/** Repeats what the API says about a code, for a person who can act on it. */
function detailsOf(code: string, summary: string): PublicPage['details'] {
  const { problem, remedy } = explainOutcome(code)
  return { summary, text: `${problem} ${remedy}` }
}

/** Explains a code, and names the accounts where they are known. */
function explain(request: FastifyRequest, code: string, { link, chosen }: ProblemContext) {
  const { texts, fill } = textsFor(request)
  const name = textNameOf(code)
  const { title, problem, remedy } = texts.outcomes[name]
  const expected = link?.expectedAccount ?? null
  if (name === 'other_account' && (!chosen || expected === null)) {
    return {
      title,
      text: texts.otherAccountUnnamed.problem,
      remedy: texts.otherAccountUnnamed.remedy,
    }
  }
  if (name === 'pending' && !chosen) return { title, text: texts.pendingUnnamed, remedy }
  const values = { chosen: chosen ?? '', domain: chosen ?? '', expected: expected ?? '' }
  return { title, text: fill(problem, values), remedy: fill(remedy, values) }
}
