import Evaluation

/// Reports as one HTML file: no network, no scripts, pictures drawn here.
///
/// Every figure in a table or a card names its place in `report.json` (``Cited``).
public enum HTMLReport {
  /// The text of a run's `report.html`.
  public static func text(_ report: RunReport) -> String {
    let shown = report.stages.enumerated().map { place, stage in
      ShownStage(label: "\(stage.index) \(stage.name)", stage: stage, path: "stages[\(place)]", group: 0)
    }
    var body = "<header><h1>\(Markup.escape("\(report.run.model): \(report.recipeName)"))</h1>\n"
    body += Markup.paragraph(
      "<span class=\"dim\">Run of \(Markup.escape(report.date)), \(Cited.seconds("seconds", report.seconds)), by compress "
        + "\(Markup.escape(report.run.toolVersion)) on \(Markup.escape(report.run.machine.processor)).</span>"
    )
    body += banners(report, shown) + (shown.last.map(cards) ?? "") + "</header>\n"
    body += Markup.section("Stages", id: "stages", stageTable(shown, failure: report.failure))
    body += Markup.section(
      "Which is better?", id: "verdicts",
      verdicts(report.comparisons, shown.map(\.label), path: "comparisons"))
    body += common(shown)
    body += Markup.section("Budget", id: "budget", budget(shown))
    body += Markup.section("How this was measured", id: "method", method(shown))
    body += Markup.section("Notes", id: "notes", notes(report.notes, shown))
    body += Markup.section(
      "Do it again", id: "reproduction", reproduction(report.run, recipe: report.recipe, shown))
    return PageStyle.document(title: "\(report.run.model): \(report.recipeName)", body: body)
  }

  /// The pictures that pages of one run and of several have.
  static func common(_ shown: [ShownStage]) -> String {
    var body = Markup.section("What it costs, what it saves", id: "pareto", paretoPlots(shown))
    body += Markup.section(
      "Pruning against quantizing harder", id: "frontier", frontier(shown))
    body += Markup.section("Training", id: "training", trainings(shown))
    body += Markup.section("Where the bytes are", id: "bytes", bytes(shown))
    body += Markup.section("KL divergence, token by token", id: "divergence", histograms(shown))
    body += Markup.section("Layers", id: "layers", layers(shown))
    body += Markup.section("Weights and codes", id: "weights", distributions(shown))
    body += Markup.section("Worst passages", id: "passages", passages(shown))
    return body
  }

  /// What must be seen first: what failed, what to act on, and what the text is too short for.
  private static func banners(_ report: RunReport, _ shown: [ShownStage]) -> String {
    var banners: [String] = []
    if let failure = report.failure {
      banners.append(
        "<b>Stage \(failure.index), \(Markup.escape(failure.name)), failed:</b> \(Markup.escape(failure.message))"
          + (shown.isEmpty ? "" : " What was made before stands."))
    }
    for stage in shown {
      for warning in stage.stage.warnings {
        banners.append("<b>\(Markup.escape(stage.label)):</b> \(Markup.escape(warning))")
      }
    }
    if let failure = shown.last?.stage.budget?.failure {
      banners.append("<b>The budget does not hold:</b> \(Markup.escape(failure))")
    }
    banners += [tooLittle(shown)].compactMap(\.self)
    return banners.map { "<p class=\"banner\">\($0)</p>\n" }.joined()
  }

  /// The fewest scored tokens that a report is not warned about.
  private static let fewTokens = 1000
  /// The fewest blocks that intervals are to be trusted from.
  private static let fewBlocks = 8

  /// Says so where the text does not tell stages apart.
  static func tooLittle(_ shown: [ShownStage]) -> String? {
    guard let stage = shown.first(where: { $0.stage.language != nil }), let metrics = stage.stage.language,
      metrics.tokens < fewTokens || metrics.chunks.count < fewBlocks
    else { return nil }
    let tokens = Cited.grouped("\(stage.metrics).tokens", metrics.tokens)
    let chunks = metrics.chunks.count == 1 ? "one chunk" : "\(metrics.chunks.count) chunks"
    return "<b>Too little text:</b> \(tokens) scored tokens in \(chunks). "
      + (metrics.chunks.count == 1
        ? "Nothing can be said about chance, and nothing is ranked."
        : "Intervals are wide, and small differences stay unseen.")
      + " Give a longer text with <code>--eval</code>, or a shorter <code>--context</code>."
  }

  /// The last stage in a few large figures.
  private static func cards(_ shown: ShownStage) -> String {
    var cards: [(String, String)] = []
    let size = shown.stage.size
    cards.append(
      (
        Cited.bytes("\(shown.path).size.packedBytes", size.packedBytes),
        size.ratioToBaseline.map {
          Cited.fixed("\(shown.path).size.ratioToBaseline", $0, 2, unit: "×") + " smaller than the baseline"
        } ?? "packed"
      ))
    cards.append(
      (
        Cited.fixed("\(shown.path).size.packedBitsPerWeight", size.packedBitsPerWeight, 2),
        "bits a weight, all counted"
      ))
    if let divergence = shown.stage.divergence {
      let path = "\(shown.metrics).divergence"
      cards.append(
        (Cited.significant("\(path).mean.value", divergence.mean.value), "mean KL divergence, nats"))
      cards.append(
        (
          Cited.estimate(
            "\(path).perplexityChange", divergence.perplexityChange, digits: 3, scale: 100, signed: true)
            + " %", "perplexity"
        ))
      cards.append(
        (
          Cited.number(
            "\(path).sameTop.value", divergence.sameTop.value,
            NumberFormat.fixed(divergence.sameTop.value * 100, 2) + " %"),
          "same likeliest token"
        ))
    } else if let metrics = shown.stage.language {
      cards.append(
        (
          Cited.estimate("\(shown.metrics).perplexity", metrics.perplexity, atLeast: 4), "perplexity"
        ))
    }
    if let similarity = shown.stage.encoder?.similarity {
      cards.append(
        (
          Cited.number(
            "\(shown.metrics).similarity.mean.value", similarity.mean.value,
            NumberFormat.fixed(similarity.mean.value, 5)),
          "mean cosine to the baseline"
        ))
    }
    if let correlation = shown.stage.encoder?.correlation {
      cards.append(
        (
          Cited.number(
            "\(shown.metrics).correlation.spearman.value", correlation.spearman.value,
            NumberFormat.fixed(correlation.spearman.value, 4)),
          "Spearman"
        ))
    }
    if let latency = shown.stage.latency {
      let (name, speed) = latency.decode.map { ("decode", $0) } ?? ("prefill", latency.prefill)
      cards.append(
        (
          Cited.rate("\(shown.path).latency.\(name).tokensPerSecond", speed.rate) + " tok/s", name
        ))
    }
    return Markup.paragraph("<span class=\"dim\">The last stage, \(Markup.escape(shown.label)):</span>")
      + "<div class=\"cards\">\n"
      + cards.map { "<div class=\"card\"><b>\($0.0)</b><span>\($0.1)</span></div>\n" }.joined() + "</div>\n"
  }
}
