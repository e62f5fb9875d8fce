import Evaluation

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

extension HTMLReport {
  /// The passages that each stage is farthest from the baseline in; those of the last stage open.
  static func passages(_ shown: [ShownStage]) -> String {
    let stages = shown.filter { !($0.stage.tokens?.passages.isEmpty ?? true) }
    guard !stages.isEmpty else { return "" }
    let swatches = [0.001, 0.01, 0.1, 1.0].map { value in
      "<span class=\"k\" style=\"background:\(colour(value))\"></span>\(Axis.label(value))"
    }.joined()
    let key = Markup.paragraph(
      "<span class=\"note\">Neighbouring tokens with the largest mean KL divergence. The darker a token, the farther the model was "
        + "from the baseline where it had to predict it, in nats:\(swatches)</span>")
    return key
      + stages.enumerated().map { place, stage in
        let room = PageRoom(stages: stages.count).passages(isLast: place == stages.count - 1)
        let content = (stage.stage.tokens?.passages ?? []).prefix(room).enumerated().map {
          passage($1, path: "\(stage.path).tokens.passages[\($0)]")
        }.joined()
        return stages.count == 1
          ? content : Markup.details(Markup.escape(stage.label), open: place == stages.count - 1, content)
      }.joined()
  }

  private static func passage(_ passage: TokenReport.Passage, path: String) -> String {
    let tokens = passage.tokens.map { token in
      let text = token.text.isEmpty ? "" : Markup.escape(visible(token.text))
      let title =
        "KLD \(NumberFormat.significant(token.divergence, 3)), −ln p \(NumberFormat.significant(token.loss, 3))"
      let colour = colour(token.divergence)
      let style = colour.isEmpty ? "" : " style=\"background:\(colour)\""
      return "<span\(style) title=\"\(title)\">\(text)</span>"
    }.joined()
    let place =
      "mean \(Cited.significant("\(path).mean", passage.mean)), chunk \(Cited.number("\(path).chunk", passage.chunk, String(passage.chunk)))"
      + ", scored token \(Cited.number("\(path).position", passage.position, String(passage.position)))"
    return "<div class=\"passage\"><span class=\"p\">\(place)</span>\(tokens)</div>\n"
  }

  /// Line breaks and tabs as signs, so that a token that is one can be seen.
  private static func visible(_ text: String) -> String {
    text.replacing("\r\n", with: "⏎").replacing("\n", with: "⏎").replacing("\r", with: "⏎").replacing(
      "\t", with: "⇥")
  }

  /// The background of a token: none below 1e-4 nats, full at 3.
  private static func colour(_ divergence: Double) -> String {
    let part = divergence > 0 ? (log10(divergence) + 4) / 4.5 : 0
    let alpha = min(0.75, max(0, part.isFinite ? part * 0.75 : 0))
    return alpha < 0.005 ? "" : "rgba(var(--heat),\(NumberFormat.fixed(alpha, 2)))"
  }
}
