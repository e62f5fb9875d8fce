public import ModelFiles
public import Models
internal import Reporting
internal import TensorCore

/// What is in a model file, for people and for scripts.
public struct Inspection: Sendable {
  /// The model in canonical terms.
  public let checkpoint: Checkpoint

  /// An inspection of `checkpoint`.
  public init(_ checkpoint: Checkpoint) { self.checkpoint = checkpoint }

  private var parameters: Int { checkpoint.tensors.reduce(0) { $0 + $1.elementCount } }
  private var bytes: Int { checkpoint.tensors.reduce(0) { $0 + $1.bytes.count } }
  private var architecture: String {
    checkpoint.architecture == nil
      ? "unknown (compressed data-free, not evaluated)"
      : checkpoint.configuration["model_type"]?.stringValue ?? "known"
  }

  /// The formats in use: name → tensors, weights, bytes; largest first.
  private var formats: [(name: String, tensors: Int, weights: Int, bytes: Int)] {
    var table: [String: (Int, Int, Int)] = [:]
    for tensor in checkpoint.tensors {
      var row = table[tensor.format.rawValue] ?? (0, 0, 0)
      row.0 += 1
      row.1 += tensor.elementCount
      row.2 += tensor.bytes.count
      table[tensor.format.rawValue] = row
    }
    return table.map { ($0.key, $0.value.0, $0.value.1, $0.value.2) }.sorted { ($0.3, $1.0) > ($1.3, $0.0) }
  }

  /// The inspection as JSON.
  public var json: JSONValue {
    let tensors = checkpoint.tensors.map { tensor in
      JSONValue.object(
        JSONObject([
          ("name", .string(tensor.name)), ("role", .string(checkpoint.role(of: tensor).rawValue)),
          ("shape", .array(tensor.shape.map { .integer($0) })), ("format", .string(tensor.format.rawValue)),
          ("bytes", .integer(tensor.bytes.count)),
        ]))
    }
    var top = JSONObject([
      ("schema", .string("compress.inspect")), ("version", .integer(1)),
      ("name", .string(checkpoint.name)), ("architecture", .string(architecture)),
      ("container", .string(checkpoint.source.container.rawValue)),
      ("files", .array(checkpoint.source.files.map { .string($0) })),
      ("parameters", .integer(parameters)), ("tensorBytes", .integer(bytes)),
      ("tied", .bool(checkpoint.isTied)),
      ("configuration", checkpoint.configuration), ("tensors", .array(tensors)),
      ("notes", .array(checkpoint.notes.map { .string($0) })),
    ])
    if let tokenizer = checkpoint.tokenizer { top["tokenizer"] = json(of: tokenizer) }
    if let manifest = checkpoint.source.manifest {
      top["artifact"] = .object(
        JSONObject([
          ("sha256", .string(manifest.sha256)), ("merkleRoot", .string(manifest.merkleRoot)),
          ("toolVersion", .string(manifest.toolVersion)), ("recipe", manifest.recipe),
        ]))
    }
    return .object(top)
  }

  private func json(of tokenizer: any Tokenizer) -> JSONValue {
    var object = JSONObject([("vocabularySize", .integer(tokenizer.vocabularySize))])
    if let id = tokenizer.beginningOfText { object["bos"] = .integer(id) }
    if let id = tokenizer.endOfText { object["eos"] = .integer(id) }
    object["addsBeginningOfText"] = .bool(tokenizer.addsBeginningOfText)
    return .object(object)
  }

  /// The inspection as text.
  ///
  /// - Parameter listsTensors: whether every tensor has a line of its own; otherwise layers are a tree, those that are alike on
  ///   one line, with the errors of the report that lies beside an artifact.
  public func text(listsTensors: Bool = false) -> String {
    var lines = [
      "model         \(checkpoint.name)",
      "architecture  \(architecture)",
      "container     \(checkpoint.source.container.rawValue)\(checkpoint.source.manifest == nil ? "" : ", packed artifact"), "
        + "\(checkpoint.source.files.count) file\(checkpoint.source.files.count == 1 ? "" : "s")",
      "parameters    \(parameters)",
      "tensor bytes  \(bytes) (\(NumberFormat.fixed(Double(bytes * 8) / Double(max(1, parameters)), 3)) bits per weight)",
      "output        \(checkpoint.isTied ? "tied to the token embedding" : "a matrix of its own, or none")",
      "tokenizer     \(describeTokenizer())",
    ]
    lines += formats.map {
      "format        \($0.name): \($0.tensors) tensors, \($0.weights) weights, \($0.bytes) bytes"
    }
    if let manifest = checkpoint.source.manifest {
      lines.append("artifact      decodes to \(manifest.decodedSize) bytes, sha256 \(manifest.sha256)")
      lines.append(
        "              Merkle root \(manifest.merkleRoot), made by compress \(manifest.toolVersion)")
    }
    lines += checkpoint.notes.map { "note          \($0)" }
    if let members = checkpoint.configuration.objectValue?.members, !members.isEmpty {
      lines.append("\nconfiguration")
      lines += members.filter { !isLong($0.value) }.map { "  \($0.key): \($0.value.text())" }
    }
    if listsTensors {
      lines.append("\ntensors")
      lines += tensorRows()
    } else {
      lines.append("\nlayers")
      let errors = InspectionTree.errors(beside: checkpoint.source.path)
      lines += InspectionTree(checkpoint, errors: errors).lines.map { "  " + $0 }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func isLong(_ value: JSONValue) -> Bool { value.text().utf8.count > 200 }

  private func describeTokenizer() -> String {
    guard let tokenizer = checkpoint.tokenizer else { return "none" }
    func id(_ name: String, _ value: Int?) -> String { value.map { ", \(name) \($0)" } ?? "" }
    return "\(tokenizer.vocabularySize) ids" + id("BOS", tokenizer.beginningOfText)
      + id("EOS", tokenizer.endOfText)
  }

  private func tensorRows() -> [String] {
    let rows = checkpoint.tensors.map { tensor in
      (
        OneLine.text(tensor.name), tensor.shape.map(String.init).joined(separator: " x "),
        tensor.format.rawValue, String(tensor.bytes.count), checkpoint.role(of: tensor).rawValue
      )
    }
    let name = rows.map { $0.0.count }.max() ?? 0
    let shape = rows.map { $0.1.count }.max() ?? 0
    let bytes = rows.map { $0.3.count }.max() ?? 0
    return rows.map { row in
      "  \(Inspection.pad(row.0, name))  \(Inspection.pad(row.1, shape))  \(Inspection.pad(row.2, 7))  "
        + String(repeating: " ", count: bytes - row.3.count) + row.3 + "  \(row.4)"
    }
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
