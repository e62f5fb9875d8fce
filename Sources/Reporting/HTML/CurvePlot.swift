/// A figure over the steps of a training.
struct CurvePlot {
  /// A moment of a training.
  struct Point: Sendable, Equatable {
    /// The step.
    var step: Int
    /// The training loss; nil before the first step.
    var loss: Double?
    /// KL divergence from the baseline on held-out text; nil where it was not measured at this step.
    var heldOutKLD: Double?
    /// The learning rate.
    var learningRate: Double?
    /// Tokens a second.
    var tokensPerSecond: Double?
  }

  /// The name of the figure.
  var name: String
  /// Steps and values.
  var values: [(step: Int, value: Double)]
  /// Whether the scale is logarithmic.
  var isLogarithmic = true

  /// The pictures of a training: its loss, what it was worth on held-out text, the learning rate and the speed, as far as they are known.
  static func all(_ points: [Point]) -> [CurvePlot] {
    func plot(_ name: String, _ isLogarithmic: Bool, _ value: (Point) -> Double?) -> CurvePlot {
      CurvePlot(
        name: name, values: points.compactMap { point in value(point).map { (point.step, $0) } },
        isLogarithmic: isLogarithmic)
    }
    return [
      plot("training loss", true) { $0.loss }, plot("KLD on held-out text, nats", true) { $0.heldOutKLD },
      plot("learning rate", false) { $0.learningRate },
      plot("tokens a second", false) { $0.tokensPerSecond },
    ].filter { $0.values.count > 1 }
  }

  func text() -> String {
    guard values.count > 1 else { return "" }
    var svg = SVG(width: 340, height: 220, label: "\(name) over the steps of training")
    let (left, right, top, bottom) = (52.0, 330.0, 28.0, 178.0)
    let x = Axis(values.map { Double($0.step) }, padding: 0, from: left, to: right)
    let isLogarithmic = isLogarithmic && values.allSatisfy { $0.value > 0 }
    let y = Axis(
      values.map(\.value), logarithmic: isLogarithmic, fromZero: !isLogarithmic, from: bottom, to: top)
    for tick in y.ticks {
      svg.line(left, y.place(tick), right, y.place(tick), "grid")
      svg.text(Axis.label(tick), left - 5, y.place(tick) + 4, anchor: .end, "s")
    }
    for tick in x.ticks {
      svg.line(x.place(tick), bottom, x.place(tick), bottom + 4, "axis")
      svg.label(Axis.label(tick), x.place(tick), bottom + 17)
    }
    svg.line(left, bottom, right, bottom, "axis")
    // As many points as there are units across: more cannot be told apart.
    let step = max(1, values.count / 300)
    let drawn = values.indices.filter { $0 % step == 0 || $0 == values.count - 1 }
    svg.path(drawn.map { (x: x.place(Double(values[$0].step)), y: y.place(values[$0].value)) }, "curve")
    if values.count <= 40 {
      for value in values {
        svg.mark(
          x.place(Double(value.step)), y.place(value.value), group: 0,
          title: "step \(value.step): \(NumberFormat.significant(value.value, 4))")
      }
    }
    svg.text(name, left, 16)
    svg.text("step", (left + right) / 2, bottom + 34, anchor: .middle, "s")
    return svg.text()
  }
}
