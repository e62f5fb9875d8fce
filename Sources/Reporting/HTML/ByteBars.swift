/// What the bytes of each stage are spent on: a bar a stage, a piece a kind of tensor.
struct ByteBars {
  /// A stage: the bytes of each kind, and those of the packed file.
  struct Bar {
    var name: String
    var pieces: [Int]
    var packed: Int
  }

  /// The kinds, in the order of the pieces.
  static let kinds = ["embedding", "attention", "feed-forward", "output", "norms and biases", "other"]

  /// The kind of a tensor of `role`.
  static func kind(_ role: String) -> Int {
    switch role {
    case "token-embedding", "position-embedding", "type-embedding": 0
    case "query", "key", "value", "attention-output": 1
    case "gate", "up", "down": 2
    case "output": 3
    case "norm", "bias": 4
    default: 5
    }
  }

  var bars: [Bar]

  /// The bar of a stage.
  static func bar(_ stage: StageReport, name: String) -> Bar {
    var pieces = [Int](repeating: 0, count: kinds.count)
    for tensor in stage.tensors { pieces[kind(tensor.role)] += tensor.bytes }
    return Bar(name: name, pieces: pieces, packed: stage.size.packedBytes)
  }

  func text() -> String {
    let most = Double(bars.map { max($0.pieces.reduce(0, +), $0.packed) }.max() ?? 0)
    guard most > 0 else { return "" }
    let used = ByteBars.kinds.indices.filter { kind in bars.contains { $0.pieces[kind] > 0 } }
    let legend = legendRows(used)
    let top = 8 + Double(legend.count) * 18 + 6
    let step = 40.0
    var svg = SVG(
      width: 400, height: top + Double(bars.count) * step + 24,
      label: "bytes of each stage by kind of tensor, and of its packed file")
    for (row, places) in legend.enumerated() {
      for (kind, x) in places {
        svg.rectangle(x, 8 + Double(row) * 18, 11, 11, "k\(kind)")
        svg.text(ByteBars.kinds[kind], x + 16, 17.5 + Double(row) * 18, "s")
      }
    }
    let scale = 372 / most
    for (index, bar) in bars.enumerated() {
      let y = top + Double(index) * step
      svg.text(bar.name, 8, y + 11)
      svg.text(
        "\(NumberFormat.bytes(bar.packed)) packed", 392, y + 11, anchor: .end, "s")
      var x = 8.0
      for kind in used where bar.pieces[kind] > 0 {
        let width = Double(bar.pieces[kind]) * scale
        svg.rectangle(
          x, y + 16, max(0.5, width - 0.7), 13, "k\(kind)",
          title: "\(bar.name), \(ByteBars.kinds[kind]): \(NumberFormat.bytes(bar.pieces[kind]))")
        x += width
      }
      let packed = 8 + Double(bar.packed) * scale
      svg.line(packed, y + 13, packed, y + 32, "tick")
    }
    let y = top + Double(bars.count) * step + 12
    svg.line(12, y - 9, 12, y + 2, "tick")
    svg.text("the packed file: metadata, vocabulary and tensors, after zstd", 20, y, "s")
    return svg.text()
  }

  /// Where the names of the kinds go: as many a row as there is room for.
  private func legendRows(_ used: [Int]) -> [[(kind: Int, x: Double)]] {
    var rows: [[(kind: Int, x: Double)]] = [[]]
    var x = 8.0
    for kind in used {
      let width = 16 + SVG.width(ByteBars.kinds[kind], size: 11) + 16
      if x + width > 396, x > 8 {
        rows.append([])
        x = 8
      }
      rows[rows.count - 1].append((kind, x))
      x += width
    }
    return rows
  }
}
