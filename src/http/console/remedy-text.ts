const CALL = '(?:GET|POST|PUT|PATCH|DELETE) /'
const IN_BRACKETS = new RegExp(String.raw` \(${CALL}[^)]*\)`, 'g')
const AFTER_A_COLON = new RegExp(`: ${CALL}[^ .]*`, 'g')
const ANYWHERE = new RegExp(CALL)

/** Returns a remedy without the API calls that it names: the console has buttons for them. */
export function remedyText(remedy: string): string {
  const text = remedy
    .replaceAll(IN_BRACKETS, '')
    .replaceAll(AFTER_A_COLON, '')
    .replaceAll('with If-Match', 'with “Replace”')
    .replaceAll('Make a new connect link', 'Send a reconnect link')
  return ANYWHERE.test(text) ? 'The pages above list what there is.' : text
}
