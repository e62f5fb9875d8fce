package import ModelFiles
package import Models
import TensorCore

/// The likeliest tokens of a teacher for each token of a text, in a file: who learns from it needs no teacher in memory.
///
/// One safetensors file with one tensor `rows`, U8 [tokens, 8 k]: k token numbers as u32, then their k ln p as f32. The documents
/// that are learned from come first, those held out behind them.
package final class TeacherRows: Sendable {
  /// The tokens that are kept of each prediction.
  package let kept: Int
  private let region: ByteRegion
  private let starts: [Int]

  private init(_ region: ByteRegion, kept: Int, documents: [[Int]]) {
    (self.region, self.kept) = (region, kept)
    var (starts, end) = ([Int](), 0)
    for document in documents {
      starts.append(end)
      end += document.count
    }
    self.starts = starts
  }

  /// The rows of a document.
  func rows(_ document: Int, count: Int) -> [LikeliestRow] {
    (0..<count).map { token in
      let base = region.base + (starts[document] + token) * 8 * kept
      return LikeliestRow(
        tokens: base.assumingMemoryBound(to: UInt32.self),
        logs: (base + 4 * kept).assumingMemoryBound(to: Float.self), count: kept)
    }
  }

  /// What tells one teacher and text from others.
  package static func identity(
    teacher: Checkpoint, documents: [[Int]], kept: Int, temperature: Double, rounds: Bool
  ) throws -> String {
    var parts = ["\(kept) \(temperature) \(rounds)"]
    for tensor in teacher.tensors {
      parts.append("\(tensor.name) \(tensor.shape) \(FileHash.sha256(of: try tensor.bytes.load()))")
    }
    let tokens = documents.flatMap { [UInt32($0.count)] + $0.map { UInt32(truncatingIfNeeded: $0) } }
    parts.append(tokens.withUnsafeBytes { FileHash.sha256(of: $0) })
    return Array(parts.joined(separator: "\n").utf8).withUnsafeBytes { FileHash.sha256(of: $0) }
  }

  /// The rows in a folder, written there first unless they are.
  ///
  /// - Parameter makeTeacher: called only to write them.
  /// - Throws: ``ModelFileError`` when the system refuses or the file is damaged; what making the teacher throws.
  static func rows(
    in folder: String, identity: String, documents: [[Int]], kept: Int, temperature: Double,
    progress: (Double) throws -> Void, makeTeacher: () throws -> TeacherModel
  ) throws -> TeacherRows {
    let path = "\(folder)/teacher-\(identity.prefix(16)).safetensors"
    if let rows = try? open(path, identity: identity, documents: documents, kept: kept) { return rows }
    try AtomicFile.makeFolder(folder)
    try write(
      path, identity: identity, documents: documents, kept: kept, temperature: temperature,
      teacher: try makeTeacher(), progress: progress)
    return try open(path, identity: identity, documents: documents, kept: kept)
  }

  private static func open(_ path: String, identity: String, documents: [[Int]], kept: Int) throws
    -> TeacherRows
  {
    let source = try SafetensorsFile.read(try MappedFile(path: path))
    let tokens = documents.reduce(0) { $0 + $1.count }
    guard source.textMetadata["identity"] == identity,
      let tensor = source.tensors.first(where: { $0.name == "rows" }), tensor.format == .u8,
      tensor.shape == [tokens, 8 * kept]
    else {
      throw ModelFileError(
        .badStructure, path: path, "these are not the predictions of this teacher; remove the file")
    }
    return TeacherRows(try tensor.bytes.load(), kept: kept, documents: documents)
  }

  private static func write(
    _ path: String, identity: String, documents: [[Int]], kept: Int, temperature: Double,
    teacher: TeacherModel, progress: (Double) throws -> Void
  ) throws {
    let tokens = documents.reduce(0) { $0 + $1.count }
    let header = StoredTensor(
      name: "rows", shape: [tokens, 8 * kept], format: .u8,
      bytes: TensorBytes(count: tokens * 8 * kept) { ByteRegion(count: 0) { _ in } })
    let layout = try SafetensorsWriter.layout(
      tensors: [header], metadata: ["identity": identity], path: path)
    var file = try AtomicFile(path: path)
    do {
      try layout.prefix.withBytes { try file.write($0) }
      var done = 0
      for part in GradientStep<Float>.parts(documents, tokens: 1024) {
        let packed = PackedTokens(part.map { documents[$0] })
        let rows = teacher.likeliest(of: packed, kept: kept, temperature: temperature)
        try file.write(UnsafeRawBufferPointer(start: rows.base, count: rows.count * 4))
        done += packed.count
        try progress(Double(done) / Double(max(1, tokens)))
      }
      try file.commit()
    } catch {
      file.discard()
      throw error
    }
  }
}

extension TeacherModel {
  /// The rows of a part's tokens, as a file has them: of each, `kept` tokens, then as many ln p, 4 bytes each.
  func likeliest(of part: PackedTokens, kept: Int, temperature: Double) -> NumberBuffer<Float> {
    let states = states(of: part, documents: Array(repeating: -1, count: part.documents.count))
    let result = NumberBuffer<Float>(part.count * 2 * kept)
    let (vocabulary, width) = (vocabulary, width)
    let held = max(32, min(256, (1 << 22) / vocabulary))
    for start in stride(from: 0, to: part.count, by: held) {
      let rows = min(held, part.count - start)
      let logits = NumberBuffer<Float>(rows * vocabulary)
      Float.add(
        TrainingProduct(
          a: (UnsafePointer(states.base + start * width), width, 1), b: (matrix, 1, width), c: logits.base,
          row: vocabulary, rows: rows, inner: width, columns: vocabulary))
      Parallel.forEach(rows) { row in
        let line = logits.base + row * vocabulary
        if temperature != 1 { Float.scale(line, by: Float(1 / temperature), count: vocabulary) }
        let place = result.base + (start + row) * 2 * kept
        place.withMemoryRebound(to: UInt32.self, capacity: kept) { tokens in
          LikeliestRow.write(line, count: vocabulary, tokens: tokens, logs: place + kept, kept: kept)
        }
      }
    }
    return result
  }
}
