"""Colours and style sheets. Series colours stay apart for colour-blind readers and on both backgrounds."""

# Series 0 is drawn in ink; the rest began as the Okabe-Ito set and were moved until all ten stay apart (see the test).
_LIGHT = (
    "#4a5261",
    "#1060a7",
    "#d86600",
    "#008657",
    "#ab5c94",
    "#1e8add",
    "#9d7b3c",
    "#7d71ff",
    "#672626",
    "#1a5d0b",
)
_DARK = (
    "#b8afc6",
    "#6caaf6",
    "#f28b4b",
    "#33e0a4",
    "#b369b1",
    "#b6fffc",
    "#ffd253",
    "#857aff",
    "#f45868",
    "#c4eb8e",
)
_DASHES = ("2 0", "2 0", "9 4", "3 3", "12 3 3 3", "6 2", "1 4", "9 2 2 2", "4 6", "14 4")

_TOKENS_LIGHT = "--paper:#fff;--ground:#f6f7f9;--ink:#1b2230;--soft:#5a6475;--rule:#dfe3ea;--margin:#0072b214;"
_TOKENS_DARK = "--paper:#171b23;--ground:#0f1218;--ink:#e9ecf2;--soft:#a3adbd;--rule:#2d3440;--margin:#5ab4ee22;"


def _series(colours: tuple[str, ...]) -> str:
    return "".join(f"--c{i}:{colour};" for i, colour in enumerate(colours))


def colour_tokens() -> str:
    """Custom properties for light and dark; paper is always light."""
    return (
        f":root{{color-scheme:light dark;{_TOKENS_LIGHT}{_series(_LIGHT)}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{_TOKENS_DARK}{_series(_DARK)}}}}}"
    )


def series_rules(count: int) -> str:
    """Colour and dash pattern per series, repeating from the eleventh; bands pale when many overlap."""
    rules = "".join(f".s{i}{{--c:var(--c{i % len(_LIGHT)});--dash:{_DASHES[i % len(_DASHES)]}}}" for i in range(count))
    return rules + ("svg{--band:.05;--thin:.1}" if count > 5 else "")


CHART_CSS = """
svg{display:block;width:100%;height:auto}
svg text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--ink)}
svg .tick,svg .label{fill:var(--soft);font-size:12px}
svg .row,svg .value,svg .end,svg .cross{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round}
svg .row{font-weight:600;font-size:14px;fill:var(--c)}
svg .value{font-variant-numeric:tabular-nums}
svg .end{font-weight:600;fill:var(--c)}
.grid{stroke:var(--rule);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}
.zero{stroke:var(--soft);stroke-width:1.2}.margin{fill:var(--margin)}
.whisker{stroke:var(--c);stroke-width:1.6}.bar{stroke:var(--c);stroke-width:5;stroke-linecap:round;opacity:.55}
.dot{fill:var(--c);stroke:var(--paper);stroke-width:1.5}.hollow{fill:var(--paper);stroke:var(--c);stroke-width:2}
.mean{fill:none;stroke:var(--c);stroke-width:2.4;stroke-dasharray:var(--dash);stroke-linejoin:round}
.band{fill:var(--c);opacity:var(--band,.15)}
.seed{fill:none;stroke:var(--c);stroke-width:.8;opacity:var(--thin,.28)}.broken{stroke-dasharray:2 3;opacity:.8}
svg .cross{font-size:20px;font-weight:700;fill:var(--c)}
.pair{stroke:var(--c);stroke-width:1.6;opacity:.65}.lost{stroke:var(--soft);stroke-dasharray:4 3;opacity:.9}
"""

PAGE_CSS = """
*{box-sizing:border-box}
html{background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
body{max-width:66rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:clamp(1.6rem,4.5vw,2.35rem);line-height:1.2;letter-spacing:-.015em;margin:.35rem 0 .8rem;text-wrap:balance}
h2{font-size:1.2rem;margin:0 0 .35rem}
p{margin:.3rem 0 .7rem}
.eyebrow,.soft{color:var(--soft)}.eyebrow{font-size:.85rem;letter-spacing:.02em;margin:0}
.lead{font-size:1.15rem;margin:0 0 1.4rem}
section,.verdict{background:var(--paper);border:1px solid var(--rule);border-radius:14px}
section{padding:1.35rem 1.5rem;margin:1.25rem 0}
.verdicts{display:grid;gap:.8rem;margin:0 0 1.25rem;padding:0;list-style:none}
.verdict{border-left:6px solid var(--tone);padding:.9rem 1.25rem}
.verdict h2{font-size:1.45rem;line-height:1.25;display:flex;flex-wrap:wrap;gap:.1em .5em;align-items:baseline}
.verdict .word{color:var(--tone)}.verdict p{margin:.25rem 0 0}
.better{--tone:var(--c3)}.worse{--tone:var(--c2)}.equivalent{--tone:var(--c1)}
.screened,.candidate{--tone:var(--c2)}.no-sign{--tone:var(--soft)}.inconclusive,.pilot{--tone:var(--soft)}.unstable{--tone:var(--c4)}.invalid{--tone:var(--c8)}
.cost{color:var(--soft);font-size:.92rem}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;width:100%;font-size:.84rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:0 0 .4rem}
th,td{padding:.38rem .55rem .38rem 0;text-align:right;vertical-align:top}
th,td{border-bottom:1px solid var(--rule);white-space:nowrap}
tbody th{font-weight:600}
th:first-child,.words th,.words td{text-align:left}
.words td,.words th{white-space:normal;overflow-wrap:anywhere;min-width:6rem}
.words td.short,.words th.short{overflow-wrap:normal;min-width:0}.words td.short{white-space:nowrap}
thead th{color:var(--soft);font-weight:600;white-space:normal;vertical-align:bottom}
caption{max-width:calc(100vw - 3.4rem)}
tr.bad td,tr.bad th{color:var(--c2)}
details{margin-top:.7rem}summary{cursor:pointer;color:var(--soft);width:fit-content}
:focus-visible{outline:3px solid var(--c1);outline-offset:2px;border-radius:4px}
code,pre{font:.86rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--ground);border-radius:8px;padding:.8rem 1rem;overflow-x:auto;margin:.5rem 0}
code{overflow-wrap:anywhere}
pre.paste{white-space:pre-wrap;overflow-wrap:anywhere;margin-top:.2rem}
button{font:inherit;font-size:.85rem;border:1px solid var(--rule);border-radius:999px;padding:.1rem .8rem}
button{background:var(--paper);color:var(--ink);cursor:pointer}
ul.notes{margin:.3rem 0 0;padding-left:1.1rem}
.switch{display:flex;flex-wrap:wrap;gap:.4rem .5rem;margin:.6rem 0}
.switch label{border:1px solid var(--rule);border-radius:999px;padding:.15rem .85rem;cursor:pointer;font-size:.92rem}
.radio{position:absolute;opacity:0;pointer-events:none}
.panel{display:none}.wide svg{max-width:52rem;margin:0 auto}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:.92rem;border:0;padding:0;margin:.2rem 0 .6rem}
.legend label{display:inline-flex;gap:.4rem;align-items:center;cursor:pointer}
.legend input{accent-color:var(--c)}
.small{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:1rem}
.small svg text{font-size:17px}.small figure{margin:0;max-width:21rem}.small figcaption{font-weight:600;color:var(--c)}
footer{color:var(--soft);font-size:.85rem;margin-top:2rem}
@media (max-width:40rem){
 body{padding:1.4rem .7rem 3rem}section{padding:1rem .9rem}.verdict{padding:.8rem .95rem}
 .wide svg text{font-size:22px}.wide svg .tick,.wide svg .label{font-size:21px}.wide svg .value{display:none}
 .wide svg .row{font-size:23px}.wide svg .end{font-size:16px}
}
@media print{
 html{background:#fff;font-size:12px}body{max-width:none;padding:0}section,.verdict{break-inside:avoid;border-color:#ccc}
 .verdict{border-left-color:var(--tone)}
 .switch,.legend input,summary,button{display:none}
 .panel{display:none!important}.panel.axis-steps{display:block!important}
 .scroll{overflow:visible}table{font-size:.72rem}th,td{padding-right:.4rem}
}
"""


def switch_rules(axes: list[str], arms: int) -> str:
    """Style rules by which radio buttons pick the x-axis and check boxes hide arms, without any script."""
    chosen, seen = "background:var(--ink);color:var(--paper);border-color:var(--ink)", "outline:3px solid var(--c1)"
    rules = [
        f"#{group}-{a}:checked~.panels .axis-{a}{{display:block}}"
        f"#{group}-{a}:checked~.switch [for={group}-{a}]{{{chosen}}}"
        f"#{group}-{a}:focus-visible~.switch [for={group}-{a}]{{{seen};outline-offset:2px}}"
        for group in ("axis", "race")
        for a in axes
    ]
    rules += [f".curves:has(#arm-{i}:not(:checked)) svg .s{i}{{display:none}}" for i in range(arms)]
    return "".join(rules)
