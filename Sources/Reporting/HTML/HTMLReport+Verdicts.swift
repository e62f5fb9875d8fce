import Evaluation

extension HTMLReport {
  /// Pairs of stages with what can be said about them. Ties are not ranked.
  static func verdicts(_ comparisons: [StageComparison], _ names: [String], path: String) -> String {
    guard !comparisons.isEmpty else { return "" }
    let places = comparisons.indices
    // What people ask first: each stage against the first one and against the one before it.
    let main = places.filter {
      comparisons.count <= 10 || comparisons[$0].first == comparisons[0].first
        || comparisons[$0].first == comparisons[$0].second - 1
    }
    let others = places.filter { !main.contains($0) }
    var text = table(comparisons, main, names, path: path)
    if !others.isEmpty {
      text += Markup.details(
        "All other pairs (\(others.count))", table(comparisons, Array(others), names, path: path))
    }
    text += legend(comparisons)
    return text
  }

  private static func table(
    _ comparisons: [StageComparison], _ places: [Int], _ names: [String], path: String
  ) -> String {
    let hasDivergence = places.contains { comparisons[$0].tokens.divergence != nil }
    let rows = places.map { place -> [String] in
      let comparison = comparisons[place]
      func name(_ place: Int) -> String {
        Markup.escape(names.indices.contains(place) ? names[place] : "\(place)")
      }
      let at = "\(path)[\(place)]"
      let tokens = comparison.tokens
      var row = ["\(name(comparison.second)) <span class=\"dim\">against</span> \(name(comparison.first))"]
      row.append(cell(tokens.loss, "\(at).loss"))
      if hasDivergence {
        row.append(
          tokens.divergence.map { cell($0, "\(at).divergence", words: ("closer", "farther")) } ?? "–")
      }
      row.append(cell(tokens.accuracy, "\(at).accuracy", lessIsBetter: false, scale: 100))
      row.append(
        Cited.grouped("\(at).flips.lost", tokens.flips.lost) + " / "
          + Cited.grouped("\(at).flips.gained", tokens.flips.gained))
      return row
    }
    let divergence = hasDivergence ? ["Δ KLD to the baseline"] : []
    return Markup.table(
      heads: ["", "Δ ln perplexity"] + divergence
        + ["Δ right tokens, %", "right → wrong / wrong → right"],
      rows: rows, right: hasDivergence ? [4] : [3])
  }

  /// A difference with its interval, and its verdict.
  private static func cell(
    _ difference: PairedDifference, _ path: String, lessIsBetter: Bool = true, scale: Double = 1,
    words: (better: String, worse: String) = ("better", "worse")
  ) -> String {
    let value = difference.estimate.value
    let decimals = decimals(difference, scale)
    func number(_ end: String, _ value: Double) -> String {
      Cited.number(
        "\(path).\(end)", value, (value > 0 ? "+" : "") + NumberFormat.fixed(value * scale, decimals))
    }
    var range = ""
    if let interval = difference.interval {
      range =
        "<span class=\"iv\">\(number("interval.low", interval.low)) … \(number("interval.high", interval.high))</span>"
    }
    let verdict = difference.verdict(lessIsBetter: lessIsBetter)
    let word =
      switch verdict {
      case .better: "▲ \(words.better)"
      case .worse: "▼ \(words.worse)"
      case .tie: "= tie"
      case .unknown: "? unknown"
      }
    return
      "<span class=\"v \(verdict.rawValue)\"\(hover(difference, scale))>\(word)</span> \(number("estimate.value", value))\(range)"
  }

  /// The digits that an interval supports.
  private static func decimals(_ difference: PairedDifference, _ scale: Double) -> Int {
    let width =
      difference.interval.map { ($0.high - $0.low) * scale } ?? abs(difference.estimate.value) * scale
    var (decimals, unit) = (0, 1.0)
    while width > 0, decimals < 8, width < 20 * unit { (decimals, unit) = (decimals + 1, unit / 10) }
    return decimals
  }

  private static func hover(_ difference: PairedDifference, _ scale: Double) -> String {
    var parts: [String] = []
    if let value = difference.adjusted ?? difference.probability {
      parts.append("p = \(NumberFormat.significant(value, 2)) (Holm)")
    }
    if let range = difference.bootstrap {
      parts.append(
        "bootstrap \(NumberFormat.significant(range.low * scale, 3)) … \(NumberFormat.significant(range.high * scale, 3))"
      )
    }
    if let least = difference.detectable {
      parts.append("least difference that is seen: \(NumberFormat.significant(least * scale, 2))")
    }
    return parts.isEmpty ? "" : " title=\"\(Markup.escape(parts.joined(separator: "; ")))\""
  }

  /// What the words mean, and what the sample cannot show.
  private static func legend(_ comparisons: [StageComparison]) -> String {
    let blocks = comparisons[0].tokens.loss.blocks
    var text =
      "Differences are taken token by token on the same text, so what is hard for both cancels; intervals are Student's t over "
      + "\(blocks) block\(blocks == 1 ? "" : "s") of text (chunks, or whole documents), p two-sided with Holm’s correction over "
      + "all \(comparisons.count) pair\(comparisons.count == 1 ? "" : "s") at 5 %. "
    text +=
      blocks > 1
      ? "A tie means that this sample tells no difference: tied stages are not ranked."
      : "One block says nothing about chance: nothing is ranked."
    if let least = comparisons.compactMap(\.tokens.loss.detectable).max() {
      text +=
        " A change of \(NumberFormat.significant(least * 100, 2)) % of perplexity or more would be seen in four of five such samples."
    }
    return Markup.paragraph("<span class=\"note\">\(text)</span>")
  }
}
