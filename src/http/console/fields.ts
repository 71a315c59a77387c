import { type Content, type Html, html, trustedHtml } from '../../lib/html.ts'
import type { Form } from './form.ts'

interface FieldOptions {
  name: string
  label: string
  /** One sentence below the label. */
  hint?: Content
  isRequired?: boolean
  /** All fields of a filter are optional, so none of them is marked as optional. */
  isFilter?: boolean
}

interface TextOptions extends FieldOptions {
  type?: 'text' | 'search' | 'url' | 'number' | 'date' | 'datetime-local' | 'email'
  autocomplete?: string
  placeholder?: string
}

type Options = readonly (readonly [value: string, text: string])[]

const REQUIRED = trustedHtml(' required')
const READ_ONLY = trustedHtml(' readonly')

/** Returns a field for one line. The error of the field stands below it. */
export function textField(form: Form, options: TextOptions): Html {
  const { name, type = 'text', autocomplete = 'off', placeholder } = options
  return field(
    form,
    options,
    html`<input ${attributes(form, options)} type="${type}" value="${textOf(form, name)}"
autocomplete="${autocomplete}"${placeholder !== undefined && html` placeholder="${placeholder}"`}>`,
  )
}

/** Returns a field for a secret. It is never filled in again. */
export function secretField(form: Form, options: FieldOptions & { autocomplete?: string }): Html {
  const { autocomplete = 'off' } = options
  return field(
    form,
    options,
    html`<input ${attributes(form, options)} type="password" autocomplete="${autocomplete}">`,
  )
}

/** Returns a field for several lines. */
export function textArea(
  form: Form,
  options: FieldOptions & { rows?: number; isReadOnly?: true },
): Html {
  const { name, rows = 6, isReadOnly = false } = options
  return field(
    form,
    options,
    html`<textarea ${attributes(form, options)} rows="${rows}"${isReadOnly && READ_ONLY}>${textOf(form, name)}</textarea>`,
  )
}

/** Returns a field for a file. The form needs `enctype="multipart/form-data"`. */
export function fileField(form: Form, options: FieldOptions & { accept: string }): Html {
  return field(
    form,
    options,
    html`<input ${attributes(form, options)} type="file" accept="${options.accept}">`,
  )
}

/** Returns a list of which one entry is chosen. */
export function selectField(form: Form, options: FieldOptions & { options: Options }): Html {
  const chosen = textOf(form, options.name)
  const entries = options.options.map(([value, text]) => {
    const mark = value === chosen && trustedHtml(' selected')
    return html`<option value="${value}"${mark}>${text}</option>`
  })
  return field(form, options, html`<select ${attributes(form, options)}>${entries}</select>`)
}

/** Returns a box that sends `true` when it is ticked. */
export function checkbox(form: Form, options: FieldOptions): Html {
  const { name, label } = options
  const mark = textOf(form, name) === 'true' && trustedHtml(' checked')
  return html`<div class="field"><label class="check"><input ${attributes(form, options)}
type="checkbox" value="true"${mark}> ${label}</label>${notes(form, options)}</div>`
}

/** Returns a closed list of boxes; each that is ticked sends its value under the same name. */
export function checkList(
  form: Form,
  options: FieldOptions & { options: readonly string[] },
): Html {
  const { name, label } = options
  const chosen = [form.values[name] ?? []].flat()
  const boxes = options.options.map((value) => {
    const mark = chosen.includes(value) && trustedHtml(' checked')
    return html`<label class="check"><input type="checkbox" name="${name}" value="${value}"${mark}> ${value}</label>`
  })
  const isOpen = (chosen.length > 0 || form.errors[name] !== undefined) && trustedHtml(' open')
  return html`<details class="more"${isOpen}><summary>${label}</summary>
<fieldset class="checks"><legend class="visually-hidden">${label}</legend>${notes(form, options)}${boxes}</fieldset></details>`
}

/** Returns the error of a form as a whole, if there is one. */
export function formProblem({ errors }: Form): Html | undefined {
  const text = errors['']
  if (text === undefined) return undefined
  return html`<p class="band bad" role="alert">${text}</p>`
}

interface ActionOptions {
  /** The address of the POST. */
  action: string
  label: string
  tone?: 'primary' | 'danger'
  /** Distinguishes buttons of the same label for people who do not see the page. */
  describe?: string
  /** Hidden fields. */
  fields?: Readonly<Record<string, string>>
}

/** Returns a form of one button. */
export function actionForm({ action, label, tone, describe, fields = {} }: ActionOptions): Html {
  const more = describe !== undefined && html` <span class="visually-hidden">${describe}</span>`
  return html`<form method="post" action="${action}">${hiddenFields(fields)}
<button class="${tone}">${label}${more}</button></form>`
}

/** Returns fields that are sent but not shown. */
export function hiddenFields(fields: Readonly<Record<string, string>>): Html {
  const inputs = Object.entries(fields).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )
  return html`${inputs}`
}

function field(form: Form, options: FieldOptions, input: Html): Html {
  const { name, label, isRequired, isFilter } = options
  const mark = !isRequired && !isFilter && html` <span class="muted">(optional)</span>`
  return html`<div class="field"><label for="${idOf(name)}">${label}${mark}</label>
${hintOf(options)}${input}${errorOf(form, name)}</div>`
}

function notes(form: Form, options: FieldOptions): Html {
  return html`${hintOf(options)}${errorOf(form, options.name)}`
}

function hintOf({ name, hint }: FieldOptions): Html | undefined {
  return hint === undefined ? undefined : html`<small id="${idOf(name)}-hint">${hint}</small>`
}

function errorOf({ errors }: Form, name: string): Html | undefined {
  const text = errors[name]
  return text === undefined
    ? undefined
    : html`<span class="error" id="${idOf(name)}-error" role="alert">${text}</span>`
}

function attributes({ errors }: Form, { name, hint, isRequired }: FieldOptions): Html {
  const id = idOf(name)
  const isWrong = errors[name] !== undefined
  const described = [hint !== undefined && `${id}-hint`, isWrong && `${id}-error`].filter(Boolean)
  return html`id="${id}" name="${name}"${isRequired && REQUIRED}${
    isWrong && trustedHtml(' aria-invalid="true"')
  }${described.length > 0 && html` aria-describedby="${described.join(' ')}"`}`
}

function idOf(name: string): string {
  return `field-${name}`
}

function textOf({ values }: Form, name: string): string {
  const value = values[name]
  return (Array.isArray(value) ? value[0] : value) ?? ''
}
