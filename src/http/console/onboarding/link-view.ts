import type { LinkProgress } from '../../../connect-links/link-progress.ts'
import type { Integration } from '../../../integrations/integration.ts'
import { type Html, html } from '../../../lib/html.ts'
import { actionForm } from '../fields.ts'
import { badge, card, copyField, facts } from '../parts.ts'
import { clockTag, timeTag } from '../times.ts'
import { describeLink } from './link-state.ts'
import { ONBOARDING_PATH } from './overview-view.ts'

interface View {
  title: string
  main: Html
}

/** Shows a new link once, and what happens to the person who opens it. */
export function madeLinkView(
  link: { id: string; url: string; expiresAt: Date },
  { name, profile, redirectUri }: Integration,
  account: string | undefined,
): View {
  const authorize = new URL(profile.authorizeUrl)
  return {
    title: account === undefined ? 'The link is made' : `The link for ${account} is made`,
    main: html`${card(
      'Send it to an administrator of the account',
      html`${copyField('link', 'Link', link.url)}
<p class="muted">It is shown only now. It works once, until ${clockTag(link.expiresAt)}.</p>
<div class="acts"><a class="button" href="${ONBOARDING_PATH}/links/${link.id}">Watch how it ends</a>
<a class="button" href="${link.url}" target="_blank" rel="noopener noreferrer">Open it here</a></div>`,
    )}
${card(
  'What it does',
  html`<ol class="steps"><li>It leads to the consent page at <code>${authorize.origin}${authorize.pathname}</code>, with a state that nobody can guess.</li>
<li>An administrator chooses ${account ?? 'an account'} and allows the access.</li>
<li>The provider returns to <code>${redirectUri}</code>, which must be the redirect URI of “${name}”, byte for byte.</li>
<li>The broker exchanges the code once and keeps the tokens valid. Nothing is copied by hand.</li></ol>`,
)}`,
  }
}

/** Shows what becomes of a link, without its secret. */
export function watchedLinkView(link: LinkProgress): View {
  const { tone, word, sentence, hasEnded } = describeLink(link)
  const canWithdraw = !hasEnded && link.createdBy !== 'broker'
  return {
    title: titleOf(link, word),
    main: html`<p>${badge(tone, word)} ${sentence}</p>
${facts([
  ['For', link.expectedAccount ?? 'any account'],
  ['Integration', link.integration ?? 'made by the button'],
  ['Made', html`${timeTag(link.createdAt)} by ${link.createdBy}`],
  ['First opened', link.openedAt === null ? 'not yet' : timeTag(link.openedAt)],
  ['Works until', timeTag(link.expiresAt)],
])}
<div class="acts">${
      link.onboardingId !== null &&
      html`<a class="button" href="${ONBOARDING_PATH}/callbacks/${link.onboardingId}">What came in</a>`
    }
${
  link.usedByAccountId !== null &&
  html`<a class="button primary" href="/console/accounts/${link.integration}/${link.usedByAccountId}">The account</a>`
}
${
  canWithdraw &&
  actionForm({
    action: `${ONBOARDING_PATH}/links/${link.id}/withdraw`,
    label: 'Withdraw the link',
    tone: 'danger',
  })
}
<a class="button" href="${ONBOARDING_PATH}">Onboarding</a></div>
${!hasEnded && html`<p class="muted">This page follows the link by itself. Without scripts, load it again.</p>`}`,
  }
}

function titleOf({ expectedAccount }: LinkProgress, word: string): string {
  const whose = expectedAccount === null ? 'The link' : `The link for ${expectedAccount}`
  const ends: Record<string, string> = {
    connected: 'has connected an account',
    expired: 'has expired',
    'in progress': 'was used, the account is being connected',
    failed: 'has not connected the account yet',
    opened: 'was opened',
    'not opened': 'has not been opened yet',
  }
  return `${whose} ${ends[word] ?? word}`
}
