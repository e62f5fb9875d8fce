import Evaluation
import Passes
import Training

extension HTMLReport {
  /// Harm against size, and against time a token.
  static func paretoPlots(_ shown: [ShownStage]) -> String {
    let points = shown.filter { $0.harm != nil }
    guard let name = points.lazy.compactMap({ $0.harm?.name }).first else { return "" }
    // Where names have no room, numbers stand for them.
    let isCrowded = points.count > 8 || (points.count > 5 && Set(points.map(\.group)).count > 1)
    func plot(
      _ label: String, _ costName: String, text: @escaping (Double) -> String,
      _ cost: (ShownStage) -> (value: Double, range: ClosedRange<Double>?)?
    ) -> String {
      ParetoPlot(
        label: label, costName: costName, harmName: name,
        points: points.compactMap { stage in
          guard let harm = stage.harm, let cost = cost(stage) else { return nil }
          return ParetoPlot.Point(
            label: isCrowded ? stage.short : stage.label, cost: cost.value, costRange: cost.range,
            harm: harm.value,
            harmRange: harm.range, group: stage.group,
            title: "\(stage.label): \(text(cost.value)), \(NumberFormat.significant(harm.value, 3))")
        },
        baselines: shown.filter(\.isBaseline).compactMap { stage in
          cost(stage).map { (stage.label, $0.value) }
        }, costText: text
      ).text()
    }
    let numbers = isCrowded ? " Numbers are those of the stages." : ""
    let note = "bars are 95 % intervals; the line joins what nothing beats in both; baselines are dashed"
    let size = plot(
      "harm against size", "packed size", text: { NumberFormat.bytes(Int(max(0, min($0, 1e15)))) }
    ) { (Double($0.stage.size.packedBytes), nil) }
    let isDecode = shown.contains { $0.stage.latency?.decode != nil }
    let time = plot(
      "harm against time", isDecode ? "time to decode a token" : "time for a token",
      text: NumberFormat.seconds
    ) { stage in stage.cost.map { ($0.value, $0.range) } }
    return "<div class=\"grid2\">"
      + Markup.figure(
        size, caption: "Lower left is better: smaller, and closer to the baseline (\(note)).\(numbers)")
      + Markup.figure(
        time,
        caption:
          "Lower left is better: faster, and closer to the baseline (across: median, less its MAD, to the 95 % quantile)."
      ) + "</div>\n"
  }

  /// What the bytes of each stage are spent on.
  static func bytes(_ shown: [ShownStage]) -> String {
    let picture = ByteBars(bars: shown.map { ByteBars.bar($0.stage, name: $0.label) }).text()
    let used = ByteBars.kinds.indices.filter { kind in
      shown.contains { $0.stage.tensors.contains { ByteBars.kind($0.role) == kind } }
    }
    let rows = shown.map { stage -> [String] in
      let bar = ByteBars.bar(stage.stage, name: stage.label)
      return [Markup.escape(stage.label)] + used.map { NumberFormat.grouped(bar.pieces[$0]) }
        + [Cited.grouped("\(stage.path).size.tensorBytes", stage.stage.size.tensorBytes)]
        + [Cited.grouped("\(stage.path).size.packedBytes", stage.stage.size.packedBytes)]
    }
    return Markup.figure(
      picture, caption: "Bytes of the stored tensors by kind; the stroke is the packed file.")
      + Markup.details(
        "In numbers",
        Markup.table(
          heads: ["stage"] + used.map { ByteBars.kinds[$0] } + ["all tensors", "packed"], rows: rows,
          right: Set(1...(used.count + 2))))
  }

  /// The distribution of divergences of each stage.
  static func histograms(_ shown: [ShownStage]) -> String {
    let stages = shown.filter { $0.stage.tokens?.histogram != nil }
    let range = HistogramPlot.shown(stages.compactMap { $0.stage.tokens?.histogram })
    let pictures = stages.compactMap { stage -> String? in
      guard let histogram = stage.stage.tokens?.histogram, let divergence = stage.stage.divergence else {
        return nil
      }
      let plot = HistogramPlot(
        name: stage.label, histogram: histogram,
        marks: [
          ("50 %", divergence.median), ("99 %", divergence.percentile99),
          ("99.9 %", divergence.percentile999),
        ], shown: range)
      let path = "\(stage.path).tokens.histogram"
      let none = Cited.grouped("\(path).below", histogram.below)
      return "<div><h3>\(Markup.escape(stage.label))</h3>"
        + Markup.figure(
          plot.text(),
          caption: "\(none) of the tokens below \(Axis.label(histogram.bound(0))); largest "
            + Cited.significant("\(stage.metrics).divergence.maximum", divergence.maximum)) + "</div>"
    }
    return pictures.isEmpty ? "" : "<div class=\"grid3\">\(pictures.joined())</div>\n"
  }

  /// How each stage that trains went.
  static func trainings(_ shown: [ShownStage]) -> String {
    shown.compactMap { stage in
      guard let training = stage.stage.training else { return nil }
      let points = training.curve.map {
        CurvePlot.Point(
          step: $0.step, loss: $0.loss, heldOutKLD: $0.heldOutKLD, learningRate: $0.learningRate,
          tokensPerSecond: $0.tokensPerSecond)
      }
      let path = "\(stage.path).training"
      return "<h3>\(Markup.escape(stage.label))</h3>"
        + Markup.paragraph(
          "Loss: \(Markup.escape(training.loss)). Step \(Cited.grouped("\(path).bestStep", training.bestStep)) of "
            + "\(Cited.grouped("\(path).steps", training.steps)) was kept.")
        + curves(points)
    }.joined()
  }

  /// The curves of a training.
  static func curves(_ points: [CurvePlot.Point]) -> String {
    let pictures = CurvePlot.all(points).map { Markup.figure($0.text(), caption: Markup.escape($0.name)) }
    return pictures.isEmpty ? "" : "<div class=\"grid3\">\(pictures.joined())</div>\n"
  }
}
