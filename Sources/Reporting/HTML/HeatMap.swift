#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A figure of every matrix, its kind down and its block across; darker is more.
struct HeatMap {
  /// What is shown: "bits a weight".
  var name: String
  /// The rows: the kinds of matrices.
  var rows: [String]
  /// The columns: the blocks.
  var columns: [Int]
  /// The figure and the hover text of a cell; nil where there is no such matrix or no figure.
  var cell: (_ row: Int, _ column: Int) -> (value: Double, title: String)?
  /// Whether colours go by the logarithm of the figure.
  var isLogarithmic: Bool
  /// A figure as the scale writes it.
  var text: (Double) -> String

  /// Cividis, thinned out: a scale that reads the same for the colour-blind, and in grey.
  private static let stops: [(Double, Double, Double)] = [
    (253, 234, 69), (202, 186, 105), (148, 142, 119), (109, 110, 113), (62, 76, 107), (0, 34, 78),
  ]

  /// The colour of a part, 0 … 1, of the scale.
  static func colour(_ part: Double) -> String {
    let place = min(1, max(0, part.isFinite ? part : 0)) * Double(stops.count - 1)
    let below = min(stops.count - 2, Int(place))
    let fraction = place - Double(below)
    let (a, b) = (stops[below], stops[below + 1])
    func mix(_ a: Double, _ b: Double) -> String {
      let value = Int((a + (b - a) * fraction).rounded())
      let digits = String(value, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }
    return "#\(mix(a.0, b.0))\(mix(a.1, b.1))\(mix(a.2, b.2))"
  }

  /// The picture; empty where no cell has a figure.
  func picture() -> String {
    let cells = rows.indices.flatMap { row in columns.compactMap { cell(row, $0)?.value } }
    let usable = cells.filter { $0.isFinite && (!isLogarithmic || $0 > 0) }
    guard let least = usable.min(), let most = usable.max() else { return "" }
    let side = columns.count > 40 ? 14.0 : 20.0
    let left = 8 + (rows.map { SVG.width($0) }.max() ?? 0) + 6
    let width = max(left + Double(columns.count) * side + 12, 180 + SVG.width(name))
    let height = 20 + Double(rows.count) * side + 58
    var svg = SVG(width: width, height: height, label: "\(name), by kind of matrix and block")
    func part(_ value: Double) -> Double {
      let (v, a, b) = isLogarithmic ? (log(max(value, least)), log(least), log(most)) : (value, least, most)
      return b > a ? (v - a) / (b - a) : 0.5
    }
    for (row, kind) in rows.enumerated() {
      let y = 20 + Double(row) * side
      svg.text(kind, left - 6, y + side / 2 + 4, anchor: .end, "s")
      for (index, column) in columns.enumerated() {
        let x = left + Double(index) * side
        guard let cell = cell(row, column) else {
          svg.rectangle(x + 0.5, y + 0.5, side - 1, side - 1, "none")
          continue
        }
        svg.rectangle(
          x + 0.5, y + 0.5, side - 1, side - 1, "", fill: HeatMap.colour(part(cell.value)), title: cell.title)
      }
    }
    let step = columns.count > 16 ? 4 : columns.count > 8 ? 2 : 1
    for (index, column) in columns.enumerated() where index % step == 0 {
      svg.text(String(column), left + (Double(index) + 0.5) * side, 14, anchor: .middle, "s")
    }
    scale(&svg, least, most, y: 20 + Double(rows.count) * side + 16)
    return "<div class=\"scroll\">\(svg.text(isFixed: true))</div>"
  }

  private func scale(_ svg: inout SVG, _ least: Double, _ most: Double, y: Double) {
    guard most > least else {
      svg.text("\(name): \(text(least)) everywhere", 8, y + 10, "s")
      return
    }
    let steps = 24
    for step in 0..<steps {
      svg.rectangle(
        8 + Double(step) * 6, y, 6.2, 10, "", fill: HeatMap.colour(Double(step) / Double(steps - 1)))
    }
    svg.text(text(least), 8, y + 24, "s")
    svg.text(text(most), 8 + Double(steps) * 6, y + 24, anchor: .end, "s")
    svg.text(name, 8 + Double(steps) * 6 + 10, y + 10, "s")
  }
}
