/// The look of a page: light or dark as the reader's system is, and plain on paper.
enum PageStyle {
  /// Okabe and Ito's colours (2008), which the colour-blind can tell apart; shapes and words say the same.
  static let css = """
    :root{color-scheme:light dark;--bg:#fdfdfc;--fg:#1b1d20;--dim:#5c636b;--line:#d9dcdf;--soft:#f1f3f4;--card:#fff;\
    --a:#0072b2;--b:#d55e00;--c:#009e73;--d:#b05a8c;--e:#8a6d00;--f:#3a8fc7;--g:#555b61;--h:#7a4a2b;--good:#00664a;\
    --bad:#a33f00;--goodbg:#e0f3ec;--badbg:#fbe8dc;--heat:213,94,0}
    @media (prefers-color-scheme:dark){:root{--bg:#16181b;--fg:#e6e8ea;--dim:#a0a7ae;--line:#3a3f45;--soft:#22262a;--card:#1d2023;\
    --a:#56b4e9;--b:#f08a4b;--c:#3fc79f;--d:#dd96bd;--e:#e6c34a;--f:#8fd0f5;--g:#b4bac0;--h:#c99a78;--good:#6fdcb8;\
    --bad:#ffab7a;--goodbg:#11382d;--badbg:#43240f;--heat:230,120,50}}
    *{box-sizing:border-box}
    body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;\
    -webkit-text-size-adjust:100%}
    main{max-width:1120px;margin:0 auto;padding:24px 20px 48px}
    h1{font-size:1.65rem;line-height:1.25;margin:0 0 2px;overflow-wrap:anywhere}
    h2{font-size:1.15rem;margin:34px 0 8px;padding-top:10px;border-top:1px solid var(--line)}
    h3{font-size:1rem;margin:18px 0 4px;overflow-wrap:anywhere}
    p{margin:6px 0;max-width:78ch;overflow-wrap:anywhere}
    .dim,figcaption,.note{color:var(--dim);font-size:.88rem}
    a{color:var(--a)}
    .cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:10px;margin:18px 0 6px}
    .card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px}
    .card b{display:block;font-size:1.18rem;line-height:1.35;font-weight:650;overflow-wrap:anywhere}
    .card span{color:var(--dim);font-size:.85rem}
    .banner{border-left:5px solid var(--bad);background:var(--badbg);padding:8px 14px;border-radius:4px;margin:12px 0;max-width:none;overflow-wrap:anywhere}
    .scroll{overflow-x:auto;max-width:100%}
    table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;margin:8px 0}
    th,td{padding:4px 12px 4px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap;font-weight:400}
    thead th{color:var(--dim);font-size:.85rem;border-bottom:1px solid var(--dim);vertical-align:bottom}
    tbody th{font-weight:600}
    table.narrow th,table.narrow td,td.w{white-space:normal;overflow-wrap:anywhere;min-width:8em}
    .n{text-align:right}
    .v{display:inline-block;padding:0 7px;border-radius:9px;font-size:.84rem;background:var(--soft);white-space:nowrap}
    .iv{display:block;color:var(--dim);font-size:.84rem}.v.better{background:var(--goodbg);color:var(--good);font-weight:600}
    .v.worse{background:var(--badbg);color:var(--bad);font-weight:600}
    .grid2{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:14px 26px}
    .maps{display:flex;flex-wrap:wrap;gap:6px 34px}.maps figure{max-width:100%}.grid3 svg{max-width:400px}\
    .grid3{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,290px),1fr));gap:12px 22px}
    figure{margin:8px 0;min-width:0}
    svg{display:block;max-width:560px;width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,Arial,"DejaVu Sans",sans-serif}
    svg[width]{max-width:none;width:auto}
    svg text{fill:var(--fg)}svg .s{font-size:11px;fill:var(--dim)}
    .axis{stroke:var(--dim)}.grid{stroke:var(--line)}.dash{stroke:var(--dim);stroke-dasharray:4 3}.lead{stroke:var(--dim);stroke-width:.6}
    .front{fill:none;stroke:var(--fg);stroke-width:1.4;stroke-opacity:.55}.curve{fill:none;stroke:var(--a);stroke-width:1.6}
    .area{fill:var(--a);fill-opacity:.4}.outline{fill:none;stroke:var(--fg);stroke-width:1.2;stroke-linejoin:round}
    .bar{stroke:var(--fg);stroke-width:1.1;stroke-opacity:.75}.tick{stroke:var(--fg);stroke-width:2}.fill{fill:var(--a)}.none{fill:var(--soft)}
    .m{stroke:var(--bg);stroke-width:1.2}
    .c0,.k1{fill:var(--a)}.c1,.k2{fill:var(--b)}.c2,.k3{fill:var(--c)}.c3,.k0{fill:var(--e)}.c4,.k4{fill:var(--d)}.c5,.k5{fill:var(--g)}.c6{fill:var(--f)}.c7{fill:var(--h)}
    details{margin:8px 0}summary{cursor:pointer;color:var(--a);padding:2px 0;overflow-wrap:anywhere}
    pre,code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
    pre{background:var(--soft);padding:10px 12px;border-radius:6px;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;margin:8px 0}
    code{overflow-wrap:anywhere}td code{white-space:normal}
    .passage{font:14px/1.9 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;background:var(--card);\
    border:1px solid var(--line);border-radius:6px;padding:6px 10px;margin:6px 0;white-space:pre-wrap;overflow-wrap:anywhere}
    .passage span{border-radius:3px;padding:2px 0}
    .passage .p{color:var(--dim);font-size:12px;display:block;white-space:normal}
    .k{display:inline-block;width:26px;height:12px;border-radius:3px;vertical-align:-1px;margin:0 4px 0 10px}
    @media (max-width:640px){main{padding:16px 14px 32px}.cards{grid-template-columns:1fr 1fr}h1{font-size:1.35rem}\
    table.wide,.wide tbody{display:block}.wide thead{display:none}\
    .wide tr{display:grid;grid-template-columns:1fr 1fr;gap:0 14px;border-bottom:1px solid var(--dim);padding:8px 0}\
    .wide th,.wide td{border:0;padding:1px 0;white-space:normal;overflow-wrap:anywhere;text-align:left}.wide tbody th{grid-column:1/-1}\
    .wide td[data-label]::before{content:attr(data-label);display:block;color:var(--dim);font-size:.78rem;line-height:1.3}\
    .wide td:empty{display:none}svg text{font-size:13px}svg .s{font-size:12px}}
    @media print{:root{--bg:#fff;--fg:#000;--dim:#444;--line:#bbb;--card:#fff;color-scheme:light}body{font-size:10pt}\
    main{max-width:none;padding:0}h2{break-after:avoid}figure,.card,.passage,tr{break-inside:avoid}.scroll{overflow:visible}\
    table{font-size:8pt}th,td{white-space:normal;padding-right:6px}details::details-content{content-visibility:visible;height:auto}\
    .passage span,.v,rect{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
    """

  /// A whole document. It loads nothing: a policy in its head forbids it to.
  static func document(title: String, body: String) -> String {
    """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
    <meta name="color-scheme" content="light dark">
    <title>\(Markup.escape(title))</title>
    <style>
    \(css)
    </style>
    </head>
    <body>
    <main>
    \(body)</main>
    </body>
    </html>

    """
  }
}
