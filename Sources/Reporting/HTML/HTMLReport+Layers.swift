import Evaluation
import Passes

extension HTMLReport {
  /// Heat maps of bits and errors, and the tensors as a table; those of the last stage open.
  static func layers(_ shown: [ShownStage]) -> String {
    let stages = shown.filter { !$0.isBaseline }
    let rows = PageRoom(stages: stages.count).tensors
    // The last stage is drawn first, so that where there is no room for all, it is not the one that is left out.
    var room = PageRoom.cells
    let maps = stages.reversed().map { heatMaps($0.stage, &room) }.reversed()
    return zip(stages, maps).enumerated().map { place, pair in
      let (stage, maps) = pair
      let content =
        maps
        + Markup.details(
          "Every tensor (\(stage.stage.tensors.count))", tensorTable(stage, limit: rows))
      guard stages.count > 1 else { return content }
      return Markup.details(
        Markup.escape(stage.label), open: place == stages.count - 1 && !maps.isEmpty, content)
    }.joined()
  }

  /// The matrices of blocks by kind and block.
  private struct Grid {
    var rows: [String] = []
    var columns: [Int] = []
    var tensors: [String: [Int: TensorReport]] = [:]

    init(_ stage: StageReport) {
      var seen: Set<Int> = []
      for tensor in stage.tensors where tensor.shape.count >= 2 {
        guard let block = Grid.block(of: tensor.name) else { continue }
        let kind = Grid.kind(of: tensor)
        if tensors[kind] == nil { rows.append(kind) }
        tensors[kind, default: [:]][block] = tensor
        seen.insert(block)
      }
      columns = seen.sorted()
      // A picture of hundreds of rows tells nothing.
      if rows.count > 24 || columns.count > 400 { (rows, columns) = ([], []) }
    }

    /// The role, or, where several matrices of a block have it, the name behind the block's number.
    private static func kind(of tensor: TensorReport) -> String {
      guard tensor.role == "matrix" || tensor.role == "other" else { return tensor.role }
      let parts = tensor.name.split(separator: ".")
      guard let place = parts.firstIndex(where: { Int($0) != nil }) else { return tensor.role }
      return parts[(place + 1)...].filter { $0 != "weight" }.joined(separator: ".")
    }

    /// The number of the block in a name: its first part that is a whole number.
    static func block(of name: String) -> Int? {
      name.split(separator: ".").lazy.compactMap { Int($0) }.first { $0 >= 0 && $0 < 100_000 }
    }
  }

  private static func bits(_ tensor: TensorReport) -> Double {
    let weights = tensor.shape.reduce(1.0) { $0 * Double($1) }
    return weights > 0 ? Double(tensor.bytes) * 8 / weights : 0
  }

  /// - Parameter room: the cells that may still be drawn; those of this stage are taken off.
  private static func heatMaps(_ stage: StageReport, _ room: inout Int) -> String {
    let grid = Grid(stage)
    guard !grid.rows.isEmpty else { return "" }
    let cells = 3 * grid.rows.count * grid.columns.count
    // The first that is drawn may take more than its share: a picture of a large model is worth it.
    guard cells <= room || room == PageRoom.cells else {
      return Markup.paragraph(
        "<span class=\"note\">No room for pictures: report.json has the figures.</span>")
    }
    room = max(0, room - cells)
    func map(
      _ name: String, _ isLogarithmic: Bool, _ text: @escaping (Double) -> String,
      _ value: @escaping (TensorReport) -> Double?
    )
      -> String
    {
      HeatMap(
        name: name, rows: grid.rows, columns: grid.columns,
        cell: { row, column in
          guard let tensor = grid.tensors[grid.rows[row]]?[column], let number = value(tensor) else {
            return nil
          }
          return (number, "\(tensor.name): \(tensor.format), \(text(number)) \(name)")
        }, isLogarithmic: isLogarithmic, text: text
      ).picture()
    }
    let bits = map("bits a weight", false, { NumberFormat.fixed($0, 2) }, bits)
    let error = map("relative squared error", true, { NumberFormat.significant($0, 2) }) {
      $0.relativeSquaredError
    }
    let heldOut = map("error of outputs, held out", true, { NumberFormat.significant($0, 2) }) {
      $0.outcome?.heldOutError
    }
    let figures = [
      (bits, "Bits that each matrix is stored with, by block."),
      (error, "‖w − w₀‖² / ‖w₀‖²: how far weights moved."),
      (heldOut, "E‖Wx − Qx′‖² / E‖Wx‖² on calibration text that nothing was fitted to."),
    ].filter { !$0.0.isEmpty }.map { Markup.figure($0.0, caption: $0.1) }.joined()
    return "<div class=\"maps\">\(figures)</div>\n"
  }

  /// A page is to stay small: of models with thousands of tensors, the worst are shown.
  private static func tensorTable(_ shown: ShownStage, limit: Int) -> String {
    var places = Array(shown.stage.tensors.indices)
    let isCut = places.count > limit
    if isCut {
      places.sort {
        (shown.stage.tensors[$0].relativeSquaredError ?? -1)
          > (shown.stage.tensors[$1].relativeSquaredError ?? -1)
      }
      places = places.prefix(limit).sorted()
    }
    let hasOutcomes = places.contains { shown.stage.tensors[$0].outcome != nil }
    let rows = places.map { place -> [String] in
      let tensor = shown.stage.tensors[place]
      let path = "\(shown.path).tensors[\(place)]"
      let notes = [tensor.note, tensor.outcome?.note].compactMap(\.self).joined(separator: "; ")
      var row = [
        "<code>\(Markup.escape(tensor.name))</code>",
        tensor.shape.enumerated().map { Cited.number("\(path).shape[\($0)]", $1, String($1)) }.joined(
          separator: " × "),
        Markup.escape(tensor.format), Cited.grouped("\(path).bytes", tensor.bytes),
        Cited.significant("\(path).relativeSquaredError", tensor.relativeSquaredError),
      ]
      if hasOutcomes {
        row.append(Markup.escape(tensor.outcome?.method ?? "–"))
        row.append(Cited.significant("\(path).outcome.heldOutError", tensor.outcome?.heldOutError))
        row.append(Cited.significant("\(path).outcome.plainError", tensor.outcome?.plainError))
      }
      return row + [Markup.escape(notes)]
    }
    let outcomes = hasOutcomes ? ["method", "held-out error", "plain rounding’s"] : []
    return
      (isCut
      ? Markup.paragraph(
        "<span class=\"note\">The \(limit) tensors with the largest error; report.json has all.</span>")
      : "")
      + Markup.table(
        heads: ["tensor", "shape", "format", "bytes", "error"] + outcomes + ["note"], rows: rows,
        right: hasOutcomes ? [3, 4, 6, 7] : [3, 4])
  }
}
