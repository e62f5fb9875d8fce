#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// How a tensor's weights and codes are distributed, as two pictures.
struct DistributionPlot {
  /// The counts.
  var distribution: TensorDistribution

  private static let (left, right, top, bottom) = (12.0, 330.0, 10.0, 118.0)

  /// Weights: the stage's as an area, the baseline's as a line over it. Heights are logarithms, so tails can be seen.
  func weights() -> String {
    var svg = SVG(width: 340, height: 158, label: "\(distribution.name): how weights are distributed")
    let (left, right, top, bottom) = (Self.left, Self.right, Self.top, Self.bottom)
    let most = log10(1 + Double(max(1, (distribution.original + distribution.stored).max() ?? 1)))
    let width = (right - left) / Double(distribution.original.count)
    func heights(_ counts: [Int]) -> [Double] {
      counts.map { bottom - (bottom - top) * log10(1 + Double($0)) / most }
    }
    svg.steps(heights(distribution.stored), from: left, width: width, bottom: bottom, "area")
    svg.steps(heights(distribution.original), from: left, width: width, bottom: bottom, "outline")
    svg.line(left, bottom, right, bottom, "axis")
    let axis = Axis([-distribution.bound, distribution.bound], padding: 0, from: left, to: right)
    for tick in axis.ticks {
      svg.line(axis.place(tick), bottom, axis.place(tick), bottom + 4, "axis")
      svg.label(Axis.label(tick), axis.place(tick), bottom + 17)
    }
    svg.text("weight", (left + right) / 2, bottom + 34, anchor: .middle, "s")
    return svg.text()
  }

  /// Codes: a bar each; empty for formats without.
  func codes() -> String {
    guard let codes = distribution.codes else { return "" }
    var svg = SVG(width: 340, height: 158, label: "\(distribution.name): how often codes are used")
    let (left, right, top, bottom) = (Self.left, Self.right, Self.top, Self.bottom)
    let most = Double(max(1, codes.counts.max() ?? 1))
    let width = (right - left) / Double(codes.counts.count)
    let gap = codes.counts.count > 40 ? 0.2 : 1
    func name(_ place: Int) -> String {
      let low = codes.lowest + place * codes.step
      return codes.step == 1 ? "code \(low)" : "codes \(low) to \(low + codes.step - 1)"
    }
    for (place, count) in codes.counts.enumerated() where count > 0 {
      let height = (bottom - top) * Double(count) / most
      svg.rectangle(
        left + Double(place) * width + gap / 2, bottom - height, width - gap, height, "fill",
        title: "\(name(place)): \(count)")
    }
    svg.line(left, bottom, right, bottom, "axis")
    for place in ticks(codes) {
      let x = left + (Double(place) + 0.5) * width
      svg.line(x, bottom, x, bottom + 4, "axis")
      let text = String(codes.lowest + place * codes.step)
      svg.label(text, x, bottom + 17)
    }
    svg.text("code", (left + right) / 2, bottom + 34, anchor: .middle, "s")
    return svg.text()
  }

  /// About eight classes at even distances; zero is among them where it is a code.
  private func ticks(_ codes: TensorDistribution.Codes) -> [Int] {
    let distance = max(1, (codes.counts.count + 6) / 8)
    let zero = -codes.lowest / codes.step
    let first = codes.counts.indices.contains(zero) ? zero % distance : 0
    return Array(stride(from: first, to: codes.counts.count, by: distance))
  }
}

extension HTMLReport {
  /// Weights and codes of each stage's worst tensors; those of the last stage open.
  static func distributions(_ shown: [ShownStage]) -> String {
    let stages = shown.filter { !$0.stage.distributions.isEmpty }
    guard !stages.isEmpty else { return "" }
    let note = Markup.paragraph(
      "<span class=\"note\">The tensors with the largest error. Weights: the area is the stage’s, the line the baseline’s, "
        + "heights are logarithms, ends hold what lies beyond. Codes: how often each is used.</span>")
    return note
      + stages.enumerated().map { place, stage in
        let room = PageRoom(stages: stages.count).distributions(isLast: place == stages.count - 1)
        let pictures = stage.stage.distributions.prefix(room).enumerated().map {
          pair($1, "\(stage.path).distributions[\($0)]", stage)
        }.joined()
        guard stages.count > 1 else { return pictures }
        return Markup.details(Markup.escape(stage.label), open: place == stages.count - 1, pictures)
      }.joined()
  }

  private static func pair(_ distribution: TensorDistribution, _ path: String, _ shown: ShownStage) -> String
  {
    let plot = DistributionPlot(distribution: distribution)
    var facts = "\(Cited.grouped("\(path).weights", distribution.weights)) weights"
    if shown.stage.tensors.indices.contains(distribution.tensor) {
      let tensor = shown.stage.tensors[distribution.tensor]
      let error = "\(shown.path).tensors[\(distribution.tensor)].relativeSquaredError"
      facts =
        "\(Markup.escape(tensor.format)), error \(Cited.significant(error, tensor.relativeSquaredError)), "
        + facts
    }
    return "<h3><code>\(Markup.escape(distribution.name))</code></h3>"
      + Markup.paragraph("<span class=\"note\">\(facts)</span>") + "<div class=\"grid3\">"
      + Markup.figure(plot.weights(), caption: "Weights") + Markup.figure(plot.codes(), caption: "Codes")
      + "</div>\n"
  }
}
