/// Harm against cost, a mark a stage: what lies to the left is cheaper, what lies below is closer to the baseline.
struct ParetoPlot {
  /// A stage.
  struct Point {
    /// Its name: short where there are many.
    var label: String
    /// The cost, and its range where that is known.
    var cost: Double
    var costRange: ClosedRange<Double>?
    /// The harm, and its 95 % interval.
    var harm: Double
    var harmRange: ClosedRange<Double>?
    /// The run: shape and colour of the mark.
    var group: Int
    /// What is shown on hover.
    var title: String
  }

  /// What the picture shows, in words.
  var label: String
  /// The names of the axes.
  var costName: String
  var harmName: String
  /// The stages but the baselines.
  var points: [Point]
  /// The cost of the baselines: dashed lines, since their harm is none.
  var baselines: [(label: String, cost: Double)]
  /// A cost as an axis writes it.
  var costText: (Double) -> String

  /// The points that no other is both cheaper and closer than, the cheapest first.
  var frontier: [Point] {
    var least = Double.infinity
    return points.sorted { ($0.cost, $0.harm) < ($1.cost, $1.harm) }.filter { point in
      defer { least = min(least, point.harm) }
      return point.harm < least
    }
  }

  /// The picture; empty where there is nothing to show.
  func text() -> String {
    guard !points.isEmpty else { return "" }
    var svg = SVG(width: 400, height: 318, label: label)
    let (left, right, top, bottom) = (58.0, 390.0, 12.0, 270.0)
    // A few slow runs must not squeeze all medians together: bars may leave the picture.
    let most = (points.map(\.cost) + baselines.map(\.cost)).max() ?? 1
    let costs = points.flatMap {
      [$0.cost, $0.costRange?.lowerBound, $0.costRange.map { min($0.upperBound, 1.25 * most) }]
        .compactMap(\.self)
    }
    let x = Axis(costs + baselines.map(\.cost), padding: 0.09, from: left, to: right)
    let harms = points.flatMap {
      [$0.harm, $0.harmRange?.lowerBound, $0.harmRange?.upperBound].compactMap(\.self)
    }
    // An interval that reaches to nothing would stretch a logarithmic scale without end.
    let least = points.map(\.harm).filter { $0 > 0 }.min() ?? 1e-8
    let y = Axis(harms.filter { $0 > least / 20 }, logarithmic: true, padding: 0.12, from: bottom, to: top)
    grid(&svg, x, y, left...right, top...bottom)
    for baseline in baselines {
      let place = x.place(baseline.cost)
      svg.line(place, top, place, bottom, "dash")
      svg.text(
        baseline.label, place > 230 ? place - 5 : place + 5, top + 10, anchor: place > 230 ? .end : .start,
        "s")
    }
    let line = frontier.map { (x: x.place($0.cost), y: y.place($0.harm)) }
    if line.count > 1 { svg.path(line, "front") }
    for point in points { bars(point, &svg, x, y) }
    let marks = points.map { (x: x.place($0.cost), y: y.place($0.harm)) }
    var placer = LabelPlacer(
      x: left + 2...right + 8, y: top + (baselines.isEmpty ? 0 : 14)...bottom - 2, marks: marks,
      lines: obstacles(x, y, line))
    for (point, mark) in zip(points, marks) {
      svg.mark(mark.x, mark.y, group: point.group, title: point.title)
    }
    for (point, mark) in zip(points, marks) {
      guard let place = placer.place(point.label, x: mark.x, y: mark.y) else { continue }
      if abs(place.y - 4 - mark.y) > 20 {
        let near = place.x > mark.x ? place.x : min(mark.x, place.x + SVG.width(point.label))
        svg.line(mark.x, mark.y, near, place.y - 4, "lead")
      }
      svg.text(point.label, place.x, place.y)
    }
    return svg.text()
  }

  /// Points along the bars, the frontier and the baselines, close enough that no label fits between two.
  private func obstacles(_ x: Axis, _ y: Axis, _ frontier: [(x: Double, y: Double)]) -> [(
    x: Double, y: Double
  )] {
    var lines: [((x: Double, y: Double), (x: Double, y: Double))] = Array(zip(frontier, frontier.dropFirst()))
    for point in points {
      let (px, py) = (x.place(point.cost), y.place(point.harm))
      if let range = point.costRange {
        lines.append(((x.place(range.lowerBound), py), (x.place(range.upperBound), py)))
      }
      if let range = point.harmRange {
        lines.append(((px, y.place(range.lowerBound)), (px, y.place(range.upperBound))))
      }
    }
    for baseline in baselines {
      let place = x.place(baseline.cost)
      lines.append(((place, 0), (place, 400)))
    }
    return lines.flatMap { a, b in
      let count = max(1, Int(max(abs(a.x - b.x), abs(a.y - b.y)) / 5))
      return (0...count).map { step in
        let part = Double(step) / Double(count)
        return (x: a.x + (b.x - a.x) * part, y: a.y + (b.y - a.y) * part)
      }
    }
  }

  private func grid(
    _ svg: inout SVG, _ x: Axis, _ y: Axis, _ across: ClosedRange<Double>, _ down: ClosedRange<Double>
  ) {
    for tick in y.ticks {
      svg.line(across.lowerBound, y.place(tick), across.upperBound, y.place(tick), "grid")
      svg.text(Axis.label(tick), across.lowerBound - 6, y.place(tick) + 4, anchor: .end, "s")
    }
    for tick in x.ticks {
      svg.line(x.place(tick), down.upperBound, x.place(tick), down.upperBound + 4, "axis")
      svg.label(tick == 0 ? "0" : Axis.trimmed(costText(tick)), x.place(tick), down.upperBound + 18)
    }
    svg.line(across.lowerBound, down.upperBound, across.upperBound, down.upperBound, "axis")
    svg.text(costName, (across.lowerBound + across.upperBound) / 2, down.upperBound + 38, anchor: .middle)
    svg.text(harmName, 13, (down.lowerBound + down.upperBound) / 2, anchor: .middle, turned: true)
  }

  private func bars(_ point: Point, _ svg: inout SVG, _ x: Axis, _ y: Axis) {
    let (px, py) = (x.place(point.cost), y.place(point.harm))
    if let range = point.harmRange {
      let (a, b) = (y.place(range.lowerBound), y.place(range.upperBound))
      svg.line(px, a, px, b, "bar")
      for end in [a, b] { svg.line(px - 3, end, px + 3, end, "bar") }
    }
    if let range = point.costRange {
      let (a, b) = (x.place(range.lowerBound), x.place(range.upperBound))
      svg.line(a, py, b, py, "bar")
      for end in [a, b] { svg.line(end, py - 3, end, py + 3, "bar") }
    }
  }
}
