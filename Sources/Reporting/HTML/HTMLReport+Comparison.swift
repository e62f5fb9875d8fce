import Evaluation

extension HTMLReport {
  /// The page of several runs: their stages in one table and one set of pictures.
  public static func text(_ comparison: RunComparison) -> String {
    let shown = comparison.entries.enumerated().map { place, entry in
      ShownStage(
        label: entry.label, stage: entry.stage, path: "entries[\(place)].stage", group: entry.run)
    }
    let title = "Comparison of " + comparison.runs.map(\.name).joined(separator: ", ")
    var body = "<header><h1>\(Markup.escape(title))</h1>\n"
    let banners =
      comparison.gates.filter { !$0.holds }.map {
        "<b>\(Markup.escape($0.stage)), \(Markup.escape($0.gate)):</b> \(Markup.escape($0.message))"
      } + comparison.notes.map(Markup.escape) + [tooLittle(shown)].compactMap(\.self)
    body += banners.map { "<p class=\"banner\">\($0)</p>\n" }.joined() + "</header>\n"
    body += Markup.section("Gates", id: "gates", gates(comparison.gates))
    body += Markup.section("Stages", id: "stages", stageTable(shown))
    body += Markup.section(
      "Which is better?", id: "verdicts",
      verdicts(comparison.comparisons, shown.map(\.label), path: "comparisons"))
    body += common(shown)
    body += Markup.section("How this was measured", id: "method", method(shown))
    let runs = comparison.runs.enumerated().map { place, run in
      Markup.details(
        Markup.escape("\(run.name), \(run.report.date)"),
        reproduction(
          run.report.run, recipe: run.report.recipe, shown.filter { $0.group == place }))
    }.joined()
    body += Markup.section("Do it again", id: "reproduction", runs)
    return PageStyle.document(title: title, body: body)
  }

  private static func gates(_ gates: [GateResult]) -> String {
    guard !gates.isEmpty else { return "" }
    let rows = gates.map { gate in
      [
        Markup.escape(gate.stage), "<code>\(Markup.escape(gate.gate))</code>",
        gate.holds
          ? "<span class=\"v better\">✓ holds</span>" : "<span class=\"v worse\">✗ broken</span>",
        Markup.escape(gate.message),
      ]
    }
    return Markup.table(heads: ["stage", "gate", "", "measured"], rows: rows)
  }
}
