/// A picture of lines, shapes and text; colours come from the page's style, so it is light or dark as the page is.
struct SVG {
  /// The size in units; text is 12 to 13 of them high.
  var width: Double
  var height: Double
  /// What the picture shows, for those who cannot see it.
  var label: String
  private var body = ""

  init(width: Double, height: Double, label: String) {
    (self.width, self.height, self.label) = (width, height, label)
  }

  /// The element. A fixed one keeps its size, whatever the width of the page.
  func text(isFixed: Bool = false) -> String {
    let size = isFixed ? " width=\"\(SVG.n(width))\" height=\"\(SVG.n(height))\"" : ""
    return
      "<svg viewBox=\"0 0 \(SVG.n(width)) \(SVG.n(height))\"\(size) role=\"img\" aria-label=\"\(Markup.escape(label))\">\(body)</svg>"
  }

  /// A coordinate with one decimal at most.
  static func n(_ value: Double) -> String {
    let tenths = (value * 10).rounded()
    guard tenths.isFinite, abs(tenths) < 1e7 else { return "0" }
    let whole = Int(tenths)
    return whole % 10 == 0
      ? String(whole / 10) : "\(whole < 0 ? "-" : "")\(abs(whole) / 10).\(abs(whole) % 10)"
  }

  mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) {
    body +=
      "<line x1=\"\(SVG.n(x1))\" y1=\"\(SVG.n(y1))\" x2=\"\(SVG.n(x2))\" y2=\"\(SVG.n(y2))\" class=\"\(style)\"/>"
  }

  mutating func path(_ points: [(x: Double, y: Double)], _ style: String, isClosed: Bool = false) {
    guard let first = points.first else { return }
    let rest = points.dropFirst().map { "L\(SVG.n($0.x)) \(SVG.n($0.y))" }.joined()
    body +=
      "<path d=\"M\(SVG.n(first.x)) \(SVG.n(first.y))\(rest)\(isClosed ? "Z" : "")\" class=\"\(style)\"/>"
  }

  /// The outline of bars of one width, one beside the other, from `bottom` to each of `heights`.
  mutating func steps(
    _ heights: [Double], from left: Double, width: Double, bottom: Double, _ style: String
  ) {
    let bars = heights.enumerated().map { place, height in
      "V\(SVG.n(height))H\(SVG.n(left + Double(place + 1) * width))"
    }.joined()
    body += "<path d=\"M\(SVG.n(left)) \(SVG.n(bottom))\(bars)V\(SVG.n(bottom))\" class=\"\(style)\"/>"
  }

  /// A small label below an axis, in the middle of `x`, or as near to it as the picture allows.
  mutating func label(_ text: String, _ x: Double, _ y: Double) {
    // Narrow screens have letters of 12 units.
    let half = SVG.width(text, size: 12) / 2 + 1
    self.text(text, min(max(x, half), width - half), y, anchor: .middle, "s")
  }

  /// A rectangle; `title` is shown on hover, `fill` overrides the class's.
  mutating func rectangle(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ style: String, fill: String? = nil,
    title: String? = nil
  ) {
    let fill = fill.map { " fill=\"\($0)\"" } ?? ""
    let shape =
      "<rect x=\"\(SVG.n(x))\" y=\"\(SVG.n(y))\" width=\"\(SVG.n(max(0, width)))\" height=\"\(SVG.n(max(0, height)))\""
      + (style.isEmpty ? "" : " class=\"\(style)\"") + fill
    body += title.map { shape + "><title>\(Markup.escape($0))</title></rect>" } ?? shape + "/>"
  }

  /// Where text is set from.
  enum Anchor: String { case start, middle, end }

  mutating func text(
    _ text: String, _ x: Double, _ y: Double, anchor: Anchor = .start, _ style: String = "",
    turned: Bool = false
  ) {
    let turn = turned ? " transform=\"rotate(-90 \(SVG.n(x)) \(SVG.n(y)))\"" : ""
    let place = anchor == .start ? "" : " text-anchor=\"\(anchor.rawValue)\""
    body +=
      "<text x=\"\(SVG.n(x))\" y=\"\(SVG.n(y))\"\(place)\(style.isEmpty ? "" : " class=\"\(style)\"")\(turn)>\(Markup.escape(text))</text>"
  }

  /// A mark at a point: the group decides its shape and colour, so that neither stands alone. `title` is shown on hover.
  mutating func mark(_ x: Double, _ y: Double, group: Int, title: String) {
    let (r, style) = (5.5, "m c\(group % SVG.groups)")
    func polygon(_ points: [(Double, Double)]) -> String {
      "<polygon points=\""
        + points.map { "\(SVG.n(x + $0.0 * r)),\(SVG.n(y + $0.1 * r))" }.joined(separator: " ")
        + "\" class=\"\(style)\">"
    }
    let (shape, end): (String, String) =
      switch group % 4 {
      case 0: ("<circle cx=\"\(SVG.n(x))\" cy=\"\(SVG.n(y))\" r=\"\(r)\" class=\"\(style)\">", "circle")
      case 1: (polygon([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]), "polygon")
      case 2: (polygon([(0, -1.2), (1.1, 0.8), (-1.1, 0.8)]), "polygon")
      default: (polygon([(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)]), "polygon")
      }
    body += shape + "<title>\(Markup.escape(title))</title></\(end)>"
  }

  /// The colours of the palette.
  static let groups = 8

  /// About how wide `text` is at 12 units: wide letters where unsure.
  static func width(_ text: String, size: Double = 12) -> Double {
    text.unicodeScalars.reduce(0) { $0 + ($1.value < 0x2E80 ? 0.58 : 1.05) } * size
  }
}
