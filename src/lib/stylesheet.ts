import { hash } from 'node:crypto'

/**
 * The one stylesheet of the console, the public pages and the sandbox. Colour carries meaning only:
 * good, warn, bad, and one accent for links and the primary action.
 */
export const STYLESHEET = `
:root { color-scheme: light dark;
  --space-1: .25rem; --space-2: .5rem; --space-3: .75rem; --space-4: 1rem; --space-6: 1.5rem; --space-8: 2rem;
  --text-s: .8125rem; --text-m: .9375rem; --text-l: 1.125rem; --text-xl: 1.5rem;
  --paper: #fbfbfa; --card: #ffffff; --line: #e4e4e0; --edge: #8a8f94; --ink: #1d1f21; --ink-2: #5b6066;
  --good: #1a7044; --good-bg: #e6f4ec; --warn: #7d5200; --warn-bg: #fdf1d8; --bad: #b3261e; --bad-bg: #fbe9e7;
  --accent: #2457a6; --accent-bg: #e8effa; --on-accent: #ffffff;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
@media (prefers-color-scheme: dark) { :root {
  --paper: #141617; --card: #1c1f21; --line: #2e3235; --edge: #7d848a; --ink: #e8e9ea; --ink-2: #a2a8ae;
  --good: #6fd29b; --good-bg: #16301f; --warn: #f0bf5e; --warn-bg: #33270c; --bad: #ff9b92; --bad-bg: #3a1916;
  --accent: #9bbcf2; --accent-bg: #17263d; --on-accent: #10141b } }
* { box-sizing: border-box; margin: 0 } [hidden] { display: none !important }
html { -webkit-text-size-adjust: 100% }
body { background: var(--paper); color: var(--ink); font: var(--text-m)/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
a { color: var(--accent); text-underline-offset: .15em }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
h1 { font-size: var(--text-xl); line-height: 1.25; font-weight: 600; text-wrap: balance }
h2 { font-size: var(--text-l); line-height: 1.3; font-weight: 600 }
h3 { font-size: var(--text-m); font-weight: 600 }
code, .mono { font-family: var(--mono); font-size: .92em }
small, .muted { color: var(--ink-2); font-size: var(--text-s) }
.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
.skip { position: absolute; left: var(--space-4); top: -4rem; background: var(--card); padding: var(--space-2) var(--space-3); z-index: 1 }
.skip:focus { top: var(--space-2) }

/* The frame: bar and main column. */
.bar { display: flex; flex-wrap: wrap; gap: var(--space-2) var(--space-6); align-items: baseline; padding: var(--space-3) var(--space-6); background: var(--card); border-bottom: 1px solid var(--line) }
.bar .brand { font-size: var(--text-l); font-weight: 600; color: inherit; text-decoration: none }
.bar nav { display: flex; flex-wrap: wrap; gap: 0 var(--space-4); flex: 1 }
.bar nav a { color: var(--ink-2); text-decoration: none; padding: var(--space-1) 0; border-bottom: 2px solid transparent }
.bar nav a:hover { color: var(--ink) }
.bar nav a[aria-current] { color: var(--ink); border-color: var(--accent) }
.bar .who { color: var(--ink-2); font-size: var(--text-s); display: flex; gap: var(--space-2); align-items: baseline }
main { max-width: 72rem; margin: 0 auto; padding: var(--space-6); display: grid; grid-template-columns: minmax(0, 1fr); gap: var(--space-6) }
main.alone { max-width: 30rem; min-height: 100dvh; align-content: center }
main.reading { max-width: 44rem }
main > .crumbs { font-size: var(--text-s); margin-bottom: calc(-1 * var(--space-4)) }
.live:empty { display: none } .live { display: grid; grid-template-columns: minmax(0, 1fr); gap: var(--space-6) }

/* Messages, numbers, sections. */
.band { background: var(--accent-bg); border-left: 4px solid var(--accent); padding: var(--space-3) var(--space-4); border-radius: 4px; display: grid; gap: var(--space-1) }
.band.bad { background: var(--bad-bg); border-color: var(--bad) } .band.warn { background: var(--warn-bg); border-color: var(--warn) } .band.good { background: var(--good-bg); border-color: var(--good) }
.band .muted, .band small { color: inherit }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: var(--space-3); padding: 0; list-style: none }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: var(--space-3) var(--space-4); color: inherit; text-decoration: none; display: grid; height: 100%; align-content: start }
a.tile:hover { border-color: var(--edge) }
.tile b { font-size: 1.75rem; line-height: 1.2; font-weight: 600 } .tile span { color: var(--ink-2); font-size: var(--text-s) }
.tile.bad b { color: var(--bad) } .tile.warn b { color: var(--warn) } .tile.good b { color: var(--good) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: var(--space-4) var(--space-6); display: grid; grid-template-columns: minmax(0, 1fr); gap: var(--space-3) }
.badge { display: inline-block; padding: 0 var(--space-2); border-radius: 999px; font-size: var(--text-s); white-space: nowrap; background: var(--line); color: var(--ink) }
.badge.bad { background: var(--bad-bg); color: var(--bad) } .badge.warn { background: var(--warn-bg); color: var(--warn) } .badge.good { background: var(--good-bg); color: var(--good) }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: var(--space-1) var(--space-4) } .facts dt { color: var(--ink-2) } .facts dd { margin: 0 }
.steps { display: grid; gap: var(--space-2); padding-left: 1.25rem }
pre { font-family: var(--mono); font-size: var(--text-s); white-space: pre-wrap; background: var(--paper); border: 1px solid var(--line); border-radius: 6px; padding: var(--space-3) }

/* Tables; on a phone each row is a block. */
table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: 500; color: var(--ink-2); font-size: var(--text-s) }
th, td { padding: var(--space-2) var(--space-3) var(--space-2) 0; border-bottom: 1px solid var(--line); vertical-align: top } tbody tr:last-child > * { border-bottom: 0 }
th, td { overflow-wrap: break-word } tbody th { color: inherit; font-size: inherit; overflow-wrap: anywhere } table.stack tbody th { min-width: 11rem } table.stack td { min-width: 4.5rem } td:has(> .button, > form, > .acts) { text-align: right; width: 1% } td > .acts { flex-wrap: nowrap; justify-content: flex-end }
time { white-space: nowrap } td.number, th.number { text-align: right }

/* Forms and actions. */
form { display: grid; gap: var(--space-3); justify-items: start } form.inline, .acts { display: flex; flex-wrap: wrap; gap: var(--space-2); align-items: end } .acts form { display: block }
form.filter { grid-template-columns: repeat(auto-fit, minmax(min(9rem, 100%), 1fr)); align-items: end; justify-items: stretch; width: 100% } form.filter .acts { align-self: end; flex-wrap: nowrap }
.checks { grid-template-columns: repeat(auto-fill, minmax(min(15rem, 100%), 1fr)); gap: var(--space-1) var(--space-4); width: 100% } .checks > small, .checks > .error { grid-column: 1 / -1 }
/* Fields that one kind of endpoint has. A refused one stays visible. */
form:has(#field-kind > [value=telegram]:checked) .for-url:not(:has([aria-invalid])), form:has(#field-kind > :not([value=telegram]):checked) .for-telegram:not(:has([aria-invalid])) { display: none }
.for-url, .for-telegram { display: grid; gap: var(--space-3); width: 100% }
.field { display: grid; gap: var(--space-1); width: 100%; max-width: 32rem } form.inline .field { width: auto }
label, legend { font-weight: 500 } fieldset { border: 0; padding: 0; display: grid; gap: var(--space-2) }
.check { display: flex; gap: var(--space-2); align-items: center; font-weight: 400 }
[type=checkbox] { width: 1.25rem; height: 1.25rem; margin: .125rem; vertical-align: middle; flex: none }
input:not([type=checkbox], [type=radio]), select, textarea { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--edge); border-radius: 6px; padding: var(--space-1) var(--space-2); min-height: 2.25rem; width: 100%; min-width: 0 }
textarea { font-family: var(--mono); font-size: var(--text-s) }
[aria-invalid=true] { border-color: var(--bad) !important } .error { color: var(--bad); font-size: var(--text-s) }
button, .button { font: inherit; padding: var(--space-1) var(--space-3); min-height: 2.25rem; border-radius: 6px; border: 1px solid var(--edge); background: var(--card); color: var(--ink); cursor: pointer; text-decoration: none; display: inline-flex; align-items: center; justify-content: center; gap: .35em; white-space: nowrap }
button:hover, .button:hover { border-color: var(--ink) }
.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent) } .danger { color: var(--bad); border-color: var(--bad) }
button.link { border: 0; background: none; padding: 0; min-height: 0; color: var(--accent); text-decoration: underline; text-underline-offset: .15em }
.copy { display: flex; gap: var(--space-2); align-items: end } .copy input { font-family: var(--mono); font-size: var(--text-s) } .copy button { display: none } .scripted .copy button { display: block }

/* Pages for account owners. */
.notice { gap: var(--space-4); overflow-wrap: anywhere } .notice .company { font-weight: 600; color: var(--ink-2) } .notice .mark { font-size: 2.5rem; line-height: 1 }
.remedy { border-left: 3px solid var(--line); padding-left: var(--space-4) }
details { display: grid; gap: var(--space-3); width: 100% } summary { cursor: pointer; color: var(--ink-2) } details[open] > summary { margin-bottom: var(--space-3) }
details > .field + .field { margin-top: var(--space-3) }

/* Timeline and plots. */
.timeline { list-style: none; padding: 0; display: grid; gap: var(--space-2) } .timeline li { display: grid; grid-template-columns: 5.5rem minmax(0, 1fr); gap: var(--space-3) }
.timeline li > time { white-space: normal; color: var(--ink-2); font-size: var(--text-s); padding-top: .1rem } .timeline .fold { color: var(--ink-2); font-style: italic }
svg { max-width: 100%; height: auto } svg text { fill: var(--ink-2); font: 11px system-ui, sans-serif }
.plot { display: block; width: 100%; height: 7rem } .plot .bars { fill: var(--accent) } .plot line { vector-effect: non-scaling-stroke; stroke: var(--line) } .plot .limit { stroke: var(--warn); stroke-dasharray: 4 4 }
.plot-times { display: grid; grid-template-columns: repeat(4, 1fr); color: var(--ink-2); font-size: var(--text-s); margin-top: calc(-1 * var(--space-2)) }

@media (min-width: 44rem) { .wide { grid-column: span 2 } .keep { white-space: nowrap } }
@media (max-width: 44rem) {
  main, .bar { padding-inline: var(--space-4) } .card { padding: var(--space-4) }
  .bar nav { order: 3; flex-basis: 100%; gap: 0 var(--space-3) } .bar nav a { white-space: nowrap; padding-block: var(--space-2); font-size: var(--text-s) } .bar .who { margin-left: auto }
  input:not([type=checkbox], [type=radio]), select, textarea { font-size: 1rem; min-height: 2.75rem }
  button:not(.link), .button { min-height: 2.75rem; white-space: normal }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0 } .facts dd { margin-bottom: var(--space-2) }
  table.stack, table.stack tbody, table.stack tr, table.stack td, table.stack tbody th { display: block }
  table.stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
  table.stack tr { padding: var(--space-3) 0; border-bottom: 1px solid var(--line) } table.stack tr:last-child { border-bottom: 0 }
  table.stack td, table.stack tbody th { border: 0; padding: 0 } table.stack td + td, table.stack th + td { margin-top: var(--space-1) } table.stack td.number { text-align: left }
  table.stack td[data-label]:not(:empty)::before { content: attr(data-label) " "; color: var(--ink-2); font-size: var(--text-s) }
  td:has(> .button, > form, > .acts) { text-align: left; width: auto } table.stack tbody th, table.stack td { min-width: 0; overflow-wrap: anywhere } td > .acts { flex-wrap: wrap; justify-content: start }
}
@media (prefers-reduced-motion: no-preference) { a.tile, button, .button { transition: border-color .1s } }
`

/** The source expression of a Content-Security-Policy for a page that inlines the stylesheet. */
export const STYLESHEET_SOURCE = `'sha256-${hash('sha256', STYLESHEET, 'base64')}'`
