import Evaluation
import ModelFiles
import Passes

extension HTMLReport {
  /// How figures were taken, and on what they were calibrated.
  static func method(_ shown: [ShownStage]) -> String {
    var seen: [String] = []
    for stage in shown {
      let text = Methodology.full(stage.stage)
      if case .none = stage.stage.evaluation { continue }
      if !seen.contains(text) { seen.append(text) }
    }
    // Stages differ in whether they have a baseline: the last says all.
    var text = (seen.last.map { [$0] } ?? []).map { Markup.paragraph(inline($0)) }.joined()
    if let stage = shown.last(where: { $0.stage.latency != nil }), let latency = stage.stage.latency {
      text += Markup.paragraph(inline(Methodology.speed)) + speed(latency, "\(stage.path).latency", stage)
    }
    text += shown.filter { $0.stage.calibration != nil }.map(calibration).joined()
    return text
  }

  private static func speed(_ latency: LatencyMetrics, _ path: String, _ shown: ShownStage) -> String {
    func row(_ name: String, _ speed: LatencyMetrics.Speed, _ place: String, threads: Int) -> [String] {
      let path = "\(place).\(name)"
      return [
        name, Cited.number("\(place).threads", threads, String(threads)),
        Cited.grouped("\(path).tokens", speed.tokens), Cited.grouped("\(path).runs", speed.runs),
        Cited.seconds("\(path).secondsPerToken", speed.median),
        Cited.seconds("\(path).deviation", speed.deviation),
        Cited.seconds("\(path).percentile95", speed.percentile95),
      ]
    }
    let rows = latency.byThreads.flatMap { speed in
      let other = latency.sweep.firstIndex { $0.threads == speed.threads }
      let place = other.map { "\(path).sweep[\($0)]" } ?? path
      return [row("prefill", speed.prefill, place, threads: speed.threads)]
        + (speed.decode.map { [row("decode", $0, place, threads: speed.threads)] } ?? [])
    }
    let machine = shown.stage.run.machine
    var facts = [
      Markup.escape(machine.processor),
      "\(Cited.number("\(shown.path).run.machine.processors", machine.processors, String(machine.processors))) processors",
      "kernels \(Markup.escape(machine.instructionSet))",
      "threads \(Cited.number("\(path).threads", latency.threads, String(latency.threads)))",
    ]
    if let governor = machine.governor { facts.append("governor \(Markup.escape(governor))") }
    if !machine.features.isEmpty {
      facts.append("instructions \(Markup.escape(machine.features.joined(separator: " ")))")
    }
    facts.append(Markup.escape(machine.system))
    if let bytes = latency.bytesPerToken {
      facts.append("a token reads \(Cited.bytes("\(path).bytesPerToken", bytes)) of weights")
    }
    return Markup.table(
      heads: [
        Markup.escape(shown.label), "threads", "tokens a run", "runs", "time a token, median", "MAD", "95 %",
      ], rows: rows,
      right: [1, 2, 3, 4, 5, 6])
      + Markup.paragraph("<span class=\"note\">\(facts.joined(separator: "; ")).</span>")
  }

  /// The calibration text, and what it shares with the evaluation text.
  private static func calibration(_ shown: ShownStage) -> String {
    guard let summary = shown.stage.calibration else { return "" }
    let path = "\(shown.path).calibration"
    var text =
      "<b>\(Markup.escape(shown.label))</b> was calibrated on \(Cited.grouped("\(path).tokens", summary.tokens)) tokens of "
      + "<code>\(Markup.escape(summary.name))</code> in \(Cited.grouped("\(path).sequences", summary.sequences)) sequences; "
      + "choices were made on \(Cited.grouped("\(path).heldOutTokens", summary.heldOutTokens)) more, held out. "
    if let overlap = summary.overlap {
      text +=
        "Leak check: \(Cited.grouped("\(path).overlap.shared", overlap.shared)) of "
        + "\(Cited.grouped("\(path).overlap.runs", overlap.runs)) runs of \(Cited.number("\(path).overlap.words", overlap.words, String(overlap.words))) words of the "
        + "evaluation text are in it (\(Cited.number("\(path).overlap.share", overlap.share, NumberFormat.significant(overlap.share * 100, 2) + " %")))."
    }
    return Markup.paragraph(text)
  }

  /// The limits of the budgets.
  static func budget(_ shown: [ShownStage]) -> String {
    var rows: [[String]] = []
    for stage in shown {
      for (place, check) in (stage.stage.budget?.checks ?? []).enumerated() {
        let path = "\(stage.path).budget.checks[\(place)]"
        rows.append([
          Markup.escape(stage.label), "<code>\(Markup.escape(check.name))</code>",
          (check.name.hasPrefix("min") ? "≥ " : "≤ ")
            + Cited.number("\(path).limit", check.limit, "\(check.limit)"),
          Cited.significant("\(path).measured", check.measured, 4),
          check.bound.map { Cited.significant("\(path).bound", $0, 4) } ?? "unknown",
          check.holds ? "<span class=\"v better\">holds</span>" : "<span class=\"v worse\">broken</span>",
        ])
      }
    }
    guard !rows.isEmpty else { return "" }
    return Markup.table(
      heads: ["stage", "limit", "", "measured", "bound", ""], rows: rows, right: [2, 3, 4])
      + Markup.paragraph(
        "<span class=\"note\">Bounds are one-sided, of 95 % confidence, over blocks of evaluation text.</span>"
      )
  }

  /// Whether pruning was worth it: the finished model beside the original that was only quantized, harder.
  static func frontier(_ shown: [ShownStage]) -> String {
    shown.map { stage in
      guard let verdict = stage.stage.frontier, !verdict.comparisons.isEmpty else { return "" }
      let path = "\(stage.path).frontier"
      var rows = [
        [
          Markup.escape(stage.label) + ", pruned", Cited.bytes("\(path).packedBytes", verdict.packedBytes),
          Cited.seconds("\(path).secondsPerToken", verdict.secondsPerToken),
          Cited.estimate("\(path).divergence", verdict.divergence), "", "",
        ]
      ]
      for (place, comparison) in verdict.comparisons.enumerated() {
        let at = "\(path).comparisons[\(place)]"
        let word =
          switch comparison.outcome {
          case .wins: "<span class=\"v better\">▲ pruning wins</span>"
          case .loses: "<span class=\"v worse\">▼ pruning loses</span>"
          case .tie: "<span class=\"v tie\">= tie</span>"
          }
        let range = comparison.interval.map {
          Cited.significant("\(at).lower", $0.lowerBound) + " … "
            + Cited.significant("\(at).upper", $0.upperBound)
        }
        rows.append([
          "only quantized, of equal \(comparison.basis.rawValue)",
          Cited.bytes("\(at).packedBytes", comparison.packedBytes),
          Cited.seconds("\(at).secondsPerToken", comparison.secondsPerToken),
          Cited.estimate("\(at).divergence", comparison.divergence), range ?? "unknown", word,
        ])
      }
      return Markup.table(
        heads: ["", "packed", "time a token", "KL divergence", "difference, 95 %", ""], rows: rows,
        right: [1, 2, 3, 4])
    }.joined()
  }

  static func notes(_ notes: [String], _ shown: [ShownStage]) -> String {
    let all =
      notes.map(Markup.escape)
      + shown.flatMap { stage in
        stage.stage.notes.map { "<b>\(Markup.escape(stage.label)):</b> \(Markup.escape($0))" }
      }
    return all.isEmpty ? "" : "<ul>" + all.map { "<li>\($0)</li>\n" }.joined() + "</ul>\n"
  }

  /// What it takes to do a run again.
  static func reproduction(_ run: RunContext, recipe: JSONValue, _ shown: [ShownStage]) -> String {
    var rows = [
      ["compress", Markup.escape(run.toolVersion)], ["threads", String(run.threads)],
      ["seed", String(run.seed)],
    ]
    rows += run.source.sorted { $0.key < $1.key }.map {
      ["source <code>\(Markup.escape($0.key))</code>", "<code>\(Markup.escape($0.value))</code>"]
    }
    for stage in shown {
      rows.append([
        "artifact of \(Markup.escape(stage.label))",
        "<code>\(Markup.escape(stage.stage.artifact.sha256))</code>",
      ])
    }
    return "<pre>\(Markup.escape(run.commandLine))</pre>\n"
      + Markup.table(heads: [], rows: rows, isWide: false)
      + Markup.details("The recipe", "<pre>\(Markup.escape(recipe.text(indent: 2)))</pre>\n")
  }

  /// Text of the Markdown reports as markup: code in backticks, backslashes before signs.
  private static func inline(_ markdown: String) -> String {
    var result = ""
    for (place, part) in markdown.split(separator: "`", omittingEmptySubsequences: false).enumerated() {
      if place % 2 == 1 {
        result += "<code>\(Markup.escape(String(part)))</code>"
      } else {
        result += Markup.escape(String(part).replacing(#/\\(.)/#) { $0.output.1 })
      }
    }
    return result
  }
}
