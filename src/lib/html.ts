/** Markup that is safe to put into a page. Only this file makes it. */
export class Html {
  /** Private, so that no object of another origin can pass for markup. */
  readonly #markup: string

  private constructor(markup: string) {
    this.#markup = markup
  }

  /** Trusts a text as markup. For this file only: see `html` and `trustedHtml`. */
  static of(markup: string): Html {
    return new Html(markup)
  }

  toString(): string {
    return this.#markup
  }
}

/** What a template may contain. `undefined`, `null` and `false` become nothing. */
export type Content =
  | Html
  | string
  | number
  | bigint
  | undefined
  | null
  | false
  | readonly Content[]

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/**
 * Template tag that escapes every value, except values that are markup themselves. A list becomes
 * its elements.
 *
 * @example html`<b title="${title}">${name}</b>`
 */
export function html(parts: TemplateStringsArray, ...values: Content[]): Html {
  return Html.of(parts.reduce((text, part, index) => text + toMarkup(values[index - 1]) + part))
}

/** Returns a constant of the source as markup. Never for a text that comes from outside. */
export function trustedHtml(constant: string): Html {
  return Html.of(constant)
}

/** Escapes text for the content of an element and for an attribute in quotes. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}

/** Returns a value as a literal for an inline script. Nothing in it can end the script. */
export function scriptLiteral(value: unknown): Html {
  return Html.of(JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, unicodeEscape))
}

function toMarkup(value: Content): string {
  if (value === undefined || value === null || value === false) return ''
  if (Array.isArray(value)) return value.map(toMarkup).join('')
  if (value instanceof Html) return value.toString()
  return escapeHtml(String(value))
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
