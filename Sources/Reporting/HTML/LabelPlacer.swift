/// Finds room for labels beside marks, so that none lies on another, on a mark, or outside the picture.
struct LabelPlacer {
  /// A box that is taken.
  private struct Box {
    var x: Double
    var y: Double
    var width: Double
    var height: Double

    func overlaps(_ other: Box) -> Bool {
      x < other.x + other.width && other.x < x + width && y < other.y + other.height
        && other.y < y + height
    }
  }

  private let bounds: Box
  private var taken: [Box]
  private let crossed: [Box]

  /// A picture's inside, with marks at `marks`, and points of lines that labels keep off, too.
  init(
    x: ClosedRange<Double>, y: ClosedRange<Double>, marks: [(x: Double, y: Double)],
    lines: [(x: Double, y: Double)] = []
  ) {
    bounds = Box(
      x: x.lowerBound, y: y.lowerBound, width: x.upperBound - x.lowerBound,
      height: y.upperBound - y.lowerBound)
    taken = marks.map { Box(x: $0.x - 6, y: $0.y - 6, width: 12, height: 12) }
    crossed = lines.map { Box(x: $0.x - 1, y: $0.y - 1, width: 2, height: 2) }
  }

  /// Where the label of the mark at `x`, `y` begins: its left end and its baseline. nil where there is no room at all.
  mutating func place(_ label: String, x: Double, y: Double) -> (x: Double, y: Double)? {
    let (width, height) = (SVG.width(label), 13.0)
    var offsets: [(Double, Double)] = []
    for step in 0..<12 {
      let distance = Double(step) * 13
      for side in [8.0, -8 - width] {
        offsets += step == 0 ? [(side, 0)] : [(side, -distance), (side, distance)]
      }
      offsets += [(-width / 2, -14 - distance), (-width / 2, 14 + distance)]
    }
    // Where there is no room beside lines, a label may lie on one.
    for (isStrict, (dx, dy)) in offsets.map({ (true, $0) }) + offsets.map({ (false, $0) }) {
      let box = Box(x: x + dx, y: y + dy - height / 2, width: width, height: height)
      let isInside =
        box.x >= bounds.x && box.x + width <= bounds.x + bounds.width && box.y >= bounds.y
        && box.y + height <= bounds.y + bounds.height
      guard isInside, !taken.contains(where: { $0.overlaps(box) }),
        !isStrict || !crossed.contains(where: { $0.overlaps(box) })
      else { continue }
      taken.append(box)
      return (box.x, box.y + height - 3)
    }
    return nil
  }
}
