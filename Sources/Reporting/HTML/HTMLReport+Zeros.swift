import Evaluation

extension HTMLReport {
  /// What leaving out the zeros of pruned matrices gains: a row for each stage and kind of work; nothing where none are left out.
  static func zeroRows(_ shown: [ShownStage]) -> String {
    let rows = shown.flatMap { stage -> [[String]] in
      guard let latency = stage.stage.latency else { return [] }
      return WholeRowsText.lines(latency).map { line in
        let path = "\(stage.path).latency"
        let place = "\(path).wholeRows.\(line.name)Speedup"
        let interval = line.speedup.interval.map {
          Cited.significant("\(place).low", $0.low) + "…" + Cited.significant("\(place).high", $0.high)
        }
        return [
          Markup.escape(stage.label), line.name,
          Cited.rate("\(path).\(line.name).tokensPerSecond", line.without.rate),
          Cited.rate("\(path).wholeRows.\(line.name).tokensPerSecond", line.whole.rate),
          Cited.significant("\(place).ratio", line.speedup.ratio), interval ?? "–",
          WholeRowsText.word(line.speedup),
        ]
      }
    }
    guard !rows.isEmpty else { return "" }
    return Markup.table(
      heads: [
        "zeros left out of pruned rows", "", "tok/s", "with whole rows", "times as fast", "95 % interval", "",
      ], rows: rows, right: [2, 3, 4, 5])
      + Markup.paragraph(
        "<span class=\"note\">The ratio is of both timed in turns; the first speed is that of the table above.</span>"
      )
  }
}
