import Negotiator from 'negotiator'
import { EN } from './en.ts'
import { ES } from './es.ts'
import type { PageTexts } from './page-texts.ts'
import { RU } from './ru.ts'
import { UK } from './uk.ts'

/** The languages of the public pages. The first is the default. */
const LANGUAGES = ['en', 'ru', 'uk', 'es'] as const

export type Language = (typeof LANGUAGES)[number]

export const TEXTS: Record<Language, PageTexts> = { en: EN, ru: RU, uk: UK, es: ES }

/** Chooses the language that `Accept-Language` prefers (RFC 9110 §12.5.4). */
export function chooseLanguage(header: string | undefined): Language {
  const negotiator = new Negotiator({ headers: { 'accept-language': header } })
  const [wanted] = negotiator.languages([...LANGUAGES])
  return LANGUAGES.find((language) => language === wanted) ?? LANGUAGES[0]
}

/** Replaces `{name}` in a text of a page. A name without a value stays as it is. */
export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) =>
    String(Object.hasOwn(values, name) ? values[name] : whole),
  )
}
