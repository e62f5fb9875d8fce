import Evaluation
public import ModelFiles

extension RunComparison {
  /// The comparison for a terminal of `width` columns.
  public func text(width: Int = 100) -> String {
    var text = StageTable(entries.map(\.stage), labels: entries.map(\.label)).text(width: width)
    let lines = verdictLines
    if !lines.isEmpty {
      text += "\nverdicts, on the same tokens (95 %, Holm over \(comparisons.count)):\n"
      text += lines.map { "  \($0)\n" }.joined()
    }
    if !gates.isEmpty { text += "\n" }
    for gate in gates {
      text += "\(gate.holds ? "holds " : "BROKEN") \(gate.stage): \(gate.gate): \(gate.message)\n"
    }
    for note in notes { text += "note: \(note)\n" }
    return text
  }

  /// A line a pair, baselines left out where there are many.
  private var verdictLines: [String] {
    let places = comparisons.filter {
      comparisons.count <= 15 || (entries[$0.first].stage.index > 0 && entries[$0.second].stage.index > 0)
    }
    let shown = places.prefix(40).map { comparison in
      "\(entries[comparison.second].label) against \(entries[comparison.first].label): "
        + RunComparison.words(comparison.tokens)
    }
    return Array(shown)
      + (places.count > shown.count ? ["… \(places.count - shown.count) more: --format json has all"] : [])
  }

  /// "closer to the baseline (KLD −0.0021 [−0.0024, −0.0018]), perplexity tie (−0.01 % [−0.05, +0.02])".
  static func words(_ tokens: TokenComparison) -> String {
    func range(_ difference: PairedDifference, scale: Double) -> String {
      func number(_ value: Double) -> String {
        (value > 0 ? "+" : "") + NumberFormat.significant(value * scale, 2)
      }
      let interval = difference.interval.map { " [\(number($0.low)), \(number($0.high))]" } ?? ""
      return number(difference.estimate.value) + interval
    }
    var parts: [String] = []
    if let divergence = tokens.divergence {
      let word =
        switch divergence.verdict() {
        case .better: "closer"
        case .worse: "farther"
        case .tie: "tie"
        case .unknown: "unknown"
        }
      parts.append("KLD \(range(divergence, scale: 1)): \(word)")
    }
    parts.append("ln PPL \(range(tokens.loss, scale: 1)): \(tokens.loss.verdict().rawValue)")
    return parts.joined(separator: "; ")
  }

  /// The comparison as Markdown that GitHub renders.
  public var markdown: String {
    var page = Page()
    page.heading(1, "Comparison of " + runs.map(\.name).joined(separator: ", "))
    let columns = StageColumn.all.filter { column in entries.contains { column.cell($0.stage) != nil } }
    page.table(
      ["stage"] + columns.map(\.head),
      rows: entries.map { entry in
        [MarkdownReport.escape(entry.label)] + columns.map { $0.cell(entry.stage) ?? "–" }
      }, right: Set(1...max(1, columns.count)))
    MarkdownReport.verdictSection(comparisons, entries.map(\.label), &page)
    if !gates.isEmpty {
      page.heading(2, "Gates")
      page.table(
        ["stage", "gate", "holds", ""],
        rows: gates.map {
          [
            MarkdownReport.escape($0.stage), MarkdownReport.code($0.gate), $0.holds ? "yes" : "**no**",
            MarkdownReport.escape($0.message),
          ]
        }, right: [])
    }
    if !notes.isEmpty { page.list(notes.map(MarkdownReport.escape)) }
    if let stage = entries.last?.stage { page.paragraph(Methodology.full(stage)) }
    return page.text
  }

  /// The comparison as JUnit's XML: a test case a gate.
  public var junit: String {
    let broken = gates.count { !$0.holds }
    let cases = gates.map { gate in
      let head =
        "    <testcase classname=\"\(Markup.escape(gate.stage))\" name=\"\(Markup.escape(gate.gate))\""
      let message = Markup.escape(gate.message)
      return gate.holds
        ? head + "><system-out>\(message)</system-out></testcase>\n"
        : head + "><failure message=\"\(message)\">\(message)</failure></testcase>\n"
    }.joined()
    return """
      <?xml version="1.0" encoding="UTF-8"?>
      <testsuites>
        <testsuite name="compress compare" tests="\(gates.count)" failures="\(broken)" errors="0">
      \(cases)  </testsuite>
      </testsuites>

      """
  }

  /// The gates as GitHub's annotations, a line each.
  public var annotations: String {
    func data(_ text: String) -> String {
      text.replacing("%", with: "%25").replacing("\r", with: "%0D").replacing("\n", with: "%0A")
    }
    func property(_ text: String) -> String {
      data(text).replacing(":", with: "%3A").replacing(",", with: "%2C")
    }
    return
      (gates.map { gate in
        "::\(gate.holds ? "notice" : "error") title=\(property("\(gate.stage) \(gate.gate)"))::\(data(gate.message))\n"
      } + notes.map { "::warning title=compress compare::\(data($0))\n" }).joined()
  }

  /// The kind of document that ``json`` is.
  public static let schema = "compress.comparison"

  /// The comparison as JSON: the whole report of each stage, what can be said about each pair, and the gates.
  public var json: JSONValue {
    .fields([
      ("schema", .string(RunComparison.schema)), ("schemaVersion", .integer(1)),
      (
        "runs",
        .array(
          runs.map { run in
            .fields([
              ("name", .string(run.name)), ("date", .string(run.report.date)),
              ("recipeName", .string(run.report.recipeName)), ("recipe", run.report.recipe),
              ("failure", run.report.failure?.json ?? .null),
            ])
          })
      ),
      (
        "entries",
        .array(
          entries.map {
            .fields([("label", .string($0.label)), ("run", .integer($0.run)), ("stage", $0.stage.json)])
          })
      ),
      ("comparisons", .array(comparisons.map(\.json))), ("gates", .array(gates.map(\.json))),
      ("notes", .strings(notes)),
    ])
  }
}

extension GateResult {
  var json: JSONValue {
    .fields([
      ("gate", .string(gate)), ("limit", .rounded(limit)), ("stage", .string(stage)),
      ("measured", .rounded(measured)), ("bound", .rounded(bound)), ("holds", .bool(holds)),
      ("message", .string(message)),
    ])
  }
}
