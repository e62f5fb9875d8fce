/// How the divergences of a stage's tokens are distributed, with its quantiles as lines.
struct HistogramPlot {
  /// The stage's name.
  var name: String
  /// The classes.
  var histogram: TokenReport.Histogram
  /// Lines: a name and a value each, in ascending order.
  var marks: [(name: String, value: Double)]
  /// The classes that are shown: the same for all stages, so that they compare.
  var shown: Range<Int>

  /// The classes that any of `histograms` has something in, and one more at either end.
  static func shown(_ histograms: [TokenReport.Histogram]) -> Range<Int> {
    let used = histograms.flatMap { histogram in histogram.counts.indices.filter { histogram.counts[$0] > 0 }
    }
    let last = (histograms.map(\.counts.count).max() ?? 1) - 1
    guard let low = used.min(), let high = used.max() else { return 0..<max(1, last + 1) }
    return max(0, low - 1)..<min(last, high + 1) + 1
  }

  func text() -> String {
    var svg = SVG(width: 340, height: 190, label: "\(name): how KL divergences are distributed over tokens")
    let (left, right, top, bottom) = (12.0, 330.0, 46.0, 150.0)
    let counts = shown.map { histogram.counts.indices.contains($0) ? histogram.counts[$0] : 0 }
    let most = Double(max(1, counts.max() ?? 1))
    let width = (right - left) / Double(max(1, counts.count))
    func place(_ value: Double) -> Double {
      let bounds = (histogram.bound(shown.lowerBound), histogram.bound(shown.upperBound))
      let axis = Axis([bounds.0, bounds.1], logarithmic: true, padding: 0, from: left, to: right)
      return axis.place(value)
    }
    for (index, count) in counts.enumerated() where count > 0 {
      let height = (bottom - top) * Double(count) / most
      let bounds = (histogram.bound(shown.lowerBound + index), histogram.bound(shown.lowerBound + index + 1))
      svg.rectangle(
        left + Double(index) * width + 0.5, bottom - height, width - 1, height, "fill",
        title:
          "\(count) tokens from \(NumberFormat.significant(bounds.0, 2)) to \(NumberFormat.significant(bounds.1, 2))"
      )
    }
    svg.line(left, bottom, right, bottom, "axis")
    for decade in -12...3 {
      let value = TokenReport.Histogram(low: decade, perDecade: 1, below: 0, counts: []).bound(0)
      guard value >= histogram.bound(shown.lowerBound) * 0.99,
        value <= histogram.bound(shown.upperBound) * 1.01
      else { continue }
      svg.line(place(value), bottom, place(value), bottom + 4, "axis")
      svg.label(Axis.label(value), place(value), bottom + 17)
    }
    quantiles(&svg, place, top: top, bottom: bottom, right: right)
    svg.text("KL divergence of a token, nats", (left + right) / 2, bottom + 34, anchor: .middle, "s")
    return svg.text()
  }

  /// The lines, their names on alternating heights where they are close.
  private func quantiles(
    _ svg: inout SVG, _ place: (Double) -> Double, top: Double, bottom: Double, right: Double
  ) {
    var ends = [-Double.infinity, -Double.infinity, -Double.infinity]
    for mark in marks where mark.value > 0 {
      let x = place(mark.value)
      svg.line(x, top - 4, x, bottom, "dash")
      let width = SVG.width(mark.name, size: 11) + 4
      let start = min(right - width, max(12, x - width / 2))
      let row = ends.firstIndex { $0 <= start } ?? 2
      ends[row] = start + width
      svg.text(mark.name, start + width / 2, top - 8 - Double(row) * 13, anchor: .middle, "s")
    }
  }
}
