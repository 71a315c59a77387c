// What forms and links cannot do: copy buttons, and polls that ask only for changes. Every page
// works without this file.

document.documentElement.classList.add('scripted')

document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]')
  if (!button) return
  const field = document.getElementById(button.dataset.copy)
  field.select()
  try {
    await navigator.clipboard.writeText(field.value)
  } catch {
    document.execCommand('copy')
  }
  const label = button.textContent
  button.textContent = 'Copied'
  document.getElementById('announcer').textContent = 'Copied'
  setTimeout(() => {
    button.textContent = label
  }, 2000)
})

// Polls: only while somebody can see the page, and only with the content that is shown.
const shown = new Map()

document.addEventListener('htmx:config:request', (event) => {
  const { ctx } = event.detail
  const { sourceElement: region, sourceEvent } = ctx
  if (sourceEvent.type !== 'every') return
  if (document.hidden || isInUse(region)) return event.preventDefault()
  const etag = shown.get(region.id)
  if (etag) ctx.request.headers['If-None-Match'] = etag
})

document.addEventListener('htmx:after:request', (event) => {
  const { sourceElement, response } = event.detail.ctx
  if (response.status === 200) shown.set(sourceElement.id, response.headers.get('etag'))
  setStale(response.status >= 500)
})

document.addEventListener('htmx:error', () => setStale(true))

/** A page that cannot update itself must say so. */
function setStale(isStale) {
  document.getElementById('stale').hidden = !isStale
}

document.addEventListener('htmx:after:swap', () => {
  const heading = document.querySelector('h1')
  if (heading) document.title = document.title.replace(/^.*(?= · )/, heading.textContent)
})

/** An update would move the text that somebody marks, or the field that somebody fills in. */
function isInUse(region) {
  const selection = getSelection()
  if (!selection.isCollapsed && region.contains(selection.anchorNode)) return true
  const { activeElement } = document
  return region.contains(activeElement) && activeElement.matches('input, select, textarea')
}
