internal import Foundation
internal import ModelFiles
internal import Models
internal import Reporting
internal import TensorCore

/// A model's tensors as a tree of layers: sizes, formats, bits and errors of each, blocks that are alike on one line.
struct InspectionTree {
  /// A layer, or a tensor.
  private struct Node {
    var name: String
    var children: [Node] = []
    var tensors = 0
    var weights = 0
    var bytes = 0
    var formats: [String] = []
    var shape: [Int] = []
    /// The largest error of its tensors.
    var error: Double?

    /// What makes two blocks alike.
    var signature: String {
      "\(shape)\(formats)\(bytes)(\(children.map { "\($0.name)\($0.signature)" }.joined(separator: ",")))"
    }

    mutating func insert(_ path: ArraySlice<Substring>, _ tensor: Node) {
      guard let first = path.first else {
        children.append(tensor)
        return
      }
      if path.count == 1 {
        var leaf = tensor
        leaf.name = String(first)
        children.append(leaf)
      } else if let place = children.firstIndex(where: { $0.name == first && $0.shape.isEmpty }) {
        children[place].insert(path.dropFirst(), tensor)
      } else {
        var node = Node(name: String(first))
        node.insert(path.dropFirst(), tensor)
        children.append(node)
      }
    }

    /// Sums from the leaves up; layers with a single part are written with it: "q_proj.weight".
    mutating func settle() {
      for place in children.indices { children[place].settle() }
      if children.count == 1, let only = children.first {
        let joined = name.isEmpty ? only.name : "\(name).\(only.name)"
        self = only
        name = joined
        return
      }
      guard !children.isEmpty else { return }
      tensors = children.reduce(0) { $0 + $1.tensors }
      weights = children.reduce(0) { $0 + $1.weights }
      bytes = children.reduce(0) { $0 + $1.bytes }
      error = children.compactMap(\.error).max()
      for child in children {
        for format in child.formats where !formats.contains(format) { formats.append(format) }
      }
    }
  }

  /// A line of the tree.
  private struct Row {
    var label: String
    var cells: [String]
  }

  /// The most lines; larger trees are cut, and say so.
  private static let limit = 400
  private var root = Node(name: "")

  /// The tree of a checkpoint's tensors.
  ///
  /// - Parameter errors: the relative squared errors of tensors, as far as they are known.
  init(_ checkpoint: Checkpoint, errors: [String: Double] = [:]) {
    for tensor in checkpoint.tensors {
      let leaf = Node(
        name: "", tensors: 1, weights: tensor.elementCount, bytes: tensor.bytes.count,
        formats: [tensor.format.rawValue], shape: tensor.shape.isEmpty ? [1] : tensor.shape,
        error: errors[tensor.name])
      root.insert(tensor.name.split(separator: ".")[...].prefix(32), leaf)
    }
    root.settle()
  }

  /// The lines of the tree.
  var lines: [String] {
    var rows = [row(root, label: root.name.isEmpty ? "all" : root.name)]
    append(root.children, indent: "", to: &rows)
    let isCut = rows.count > InspectionTree.limit
    if isCut { rows = Array(rows.prefix(InspectionTree.limit)) }
    let hasError = root.error != nil
    let heads = Row(
      label: "", cells: ["shape", "weights", "bytes", "bits", "format"] + (hasError ? ["error"] : []))
    let columns = heads.cells.count
    let all = [heads] + rows
    let label = all.map(\.label.count).max() ?? 0
    let widths = (0..<columns).map { column in all.map { $0.cells[column].count }.max() ?? 0 }
    return all.map { row in
      var line = row.label + String(repeating: " ", count: label - row.label.count)
      for column in 0..<columns {
        let cell = row.cells[column]
        let space = String(repeating: " ", count: widths[column] - cell.count)
        // Words to the left, numbers to the right.
        line += "  " + (column == 4 ? cell + space : space + cell)
      }
      while line.last == " " { line.removeLast() }
      return line
    } + (isCut ? ["… more: --tensors lists all"] : [])
  }

  private func append(_ nodes: [Node], indent: String, to rows: inout [Row]) {
    let groups = InspectionTree.folded(nodes)
    for (place, group) in groups.enumerated() {
      guard rows.count <= InspectionTree.limit else { return }
      let isLast = place == groups.count - 1
      let node = group.node
      rows.append(row(node, label: indent + (isLast ? "└─ " : "├─ ") + group.label))
      append(node.children, indent: indent + (isLast ? "   " : "│  "), to: &rows)
    }
  }

  private func row(_ node: Node, label: String) -> Row {
    let bits = node.weights > 0 ? Double(node.bytes) * 8 / Double(node.weights) : 0
    var cells = [
      node.shape.map(String.init).joined(separator: " × "), NumberFormat.grouped(node.weights),
      NumberFormat.bytes(node.bytes), NumberFormat.fixed(bits, 2), node.formats.joined(separator: ", "),
    ]
    if root.error != nil { cells.append(node.error.map { NumberFormat.significant($0, 3) } ?? "") }
    return Row(label: OneLine.text(label), cells: cells)
  }

  /// Neighbours with numbers for names that are alike become one: "0 … 7, each".
  private static func folded(_ nodes: [Node]) -> [(label: String, node: Node)] {
    var result: [(label: String, node: Node)] = []
    var place = 0
    while place < nodes.count {
      let node = nodes[place]
      var end = place + 1
      if number(node.name) != nil, !node.children.isEmpty {
        let signature = node.signature
        while end < nodes.count, number(nodes[end].name) != nil, nodes[end].signature == signature {
          end += 1
        }
      }
      if end - place > 1 {
        var joined = node
        for other in nodes[place + 1..<end] { merge(&joined, other) }
        result.append(("\(node.name) … \(nodes[end - 1].name), each of \(end - place)", joined))
      } else {
        result.append((node.name, node))
      }
      place = end
    }
    return result
  }

  /// Of blocks that are alike, the largest errors.
  private static func merge(_ node: inout Node, _ other: Node) {
    node.error = [node.error, other.error].compactMap(\.self).max()
    for place in node.children.indices where other.children.indices.contains(place) {
      merge(&node.children[place], other.children[place])
    }
  }

  private static func number(_ name: String) -> Int? { Int(name.prefix { $0 != "." }) }

  /// The errors that the report beside an artifact has; none where there is no such report.
  static func errors(beside path: String) -> [String: Double] {
    let folder = (path as NSString).deletingLastPathComponent
    let report = (folder.isEmpty ? "." : folder) + "/report.json"
    guard FileManager.default.fileExists(atPath: report), let file = try? MappedFile(path: report),
      file.region.count < 1 << 28, let json = try? JSONValue(parsing: file.region.buffer),
      let stage = try? StageReport(json: json), stage.artifact.file == (path as NSString).lastPathComponent
    else { return [:] }
    return Dictionary(
      stage.tensors.compactMap { tensor in tensor.relativeSquaredError.map { (tensor.name, $0) } },
      uniquingKeysWith: { first, _ in first })
  }
}
