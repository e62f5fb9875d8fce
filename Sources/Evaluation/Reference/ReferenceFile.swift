public import ModelFiles
internal import TensorCore

/// A ``ReferenceCache`` as a file: under 1000 bytes a token, whatever the vocabulary.
///
/// | bytes | what |
/// |---|---|
/// | 0–20 | `compress reference 1\n` |
/// | 21–24 | u32 length of the header |
/// | … | the header: JSON with the key, `kept` and `drawn` (tokens a row), `idBytes`, `sha256` of all rows |
/// | … | rows: token numbers of `idBytes` bytes, as many f32 ln p, f32 tail mass, f32 ln p(true token), f32 log-sum-exp |
///
/// Little endian. Rows of whole logits are cut when they are written.
public enum ReferenceFile {
  private static let magic = Array("compress reference 1\n".utf8)
  /// The bytes that a row may take.
  private static let rowLimit = 1000
  private static let headerLimit = 1 << 16

  /// The bytes of a token's number: vocabularies of more than 65 536 tokens need three.
  private static func idBytes(_ vocabulary: Int) -> Int {
    vocabulary <= 1 << 16 ? 2 : vocabulary <= 1 << 24 ? 3 : 4
  }

  /// The tokens that a row in a file keeps: 164 of a vocabulary of up to 65 536, 141 of one of up to 16 M, 32 and 28 of them drawn.
  public static func shape(vocabulary: Int) -> ReferenceShape {
    ReferenceShape(total: (rowLimit - 12) / (4 + idBytes(vocabulary)), vocabulary: vocabulary)
  }

  // MARK: Writing

  /// Writes `cache` to `path`, whole or not at all.
  ///
  /// - Precondition: its rows are whole, or of a shape that a file has.
  public static func write(_ cache: ReferenceCache, to path: String) throws {
    let rows = cache.rows(of: shape(vocabulary: cache.key.vocabulary))
    let width = idBytes(cache.key.vocabulary)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(rows.count * rowLimit)
    for row in rows {
      for token in row.tokens + row.drawn { append(token, width, to: &bytes) }
      for value in row.logs + row.drawnLogs + [row.tail, row.truth, row.logSum] {
        append(value.bitPattern, 4, to: &bytes)
      }
    }
    let header = JSONValue.object(
      JSONObject([
        ("key", cache.key.json), ("kept", .integer(rows.first?.tokens.count ?? 0)),
        ("drawn", .integer(rows.first?.drawn.count ?? 0)), ("idBytes", .integer(width)),
        ("sha256", .string(bytes.withUnsafeBytes { FileHash.sha256(of: $0) })),
      ]))
    let text = Array(header.text(sortedKeys: true).utf8)
    let file = try AtomicFile(path: path)
    var head = magic
    append(UInt32(truncatingIfNeeded: text.count), 4, to: &head)
    try (head + text).withUnsafeBytes { try file.write($0) }
    try bytes.withUnsafeBytes { try file.write($0) }
    try file.commit()
  }

  private static func append(_ value: UInt32, _ width: Int, to bytes: inout [UInt8]) {
    for place in 0..<width { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * UInt32(place)))) }
  }

  // MARK: Reading

  /// The cache in the file at `path`.
  ///
  /// - Throws: ``FileError`` when it cannot be read; ``EvaluationError`` when it is no reference, or a damaged one.
  public static func read(_ path: String) throws -> ReferenceCache {
    let bytes = try MappedFile(path: path).region.array
    func damaged(_ what: String) -> EvaluationError {
      EvaluationError(.badReference, path, "\(what); make it again with --baseline")
    }
    guard bytes.starts(with: magic) else {
      throw EvaluationError(.badReference, path, "not a file of reference logits")
    }
    guard bytes.count >= magic.count + 4 else { throw damaged("the file ends in its header") }
    let length = Int(number(bytes, magic.count, 4))
    let start = magic.count + 4 + length
    guard length <= headerLimit, start <= bytes.count else { throw damaged("the file ends in its header") }
    guard let header = bytes[(magic.count + 4)..<start].withUnsafeBytes({ try? JSONValue(parsing: $0) }),
      let key = header["key"].flatMap({ ReferenceKey($0) }), let kept = header["kept"]?.intValue,
      let drawn = header["drawn"]?.intValue,
      let width = header["idBytes"]?.intValue, let hash = header["sha256"]?.stringValue
    else { throw damaged("the header is no valid one") }
    guard (1...rowLimit).contains(kept), kept <= key.vocabulary, (0...rowLimit).contains(drawn),
      width == idBytes(key.vocabulary)
    else { throw damaged("the header says \(kept) and \(drawn) tokens a row of \(width) bytes each") }
    let size = (kept + drawn) * (width + 4) + 12
    let (total, overflow) = size.multipliedReportingOverflow(by: key.rows)
    guard !overflow, bytes.count - start == total else {
      throw damaged("\(bytes.count - start) bytes of rows, expected \(key.rows) of \(size)")
    }
    guard bytes[start...].withUnsafeBytes({ FileHash.sha256(of: $0) }) == hash else {
      throw damaged("the rows do not have the checksum that the header says")
    }
    let rows = (0..<key.rows).map { row(bytes, start + $0 * size, kept, drawn, width) }
    guard rows.allSatisfy({ isValid($0, vocabulary: key.vocabulary) }) else {
      throw damaged("a row holds what no distribution does")
    }
    return ReferenceCache(key: key, storage: .likeliest(rows))
  }

  /// Whether the file at `path` begins as one of these.
  public static func isReference(_ path: String) -> Bool {
    guard let file = try? MappedFile(path: path), file.region.count >= magic.count else { return false }
    return file.region.withBytes { $0.starts(with: magic) }
  }

  private static func number(_ bytes: [UInt8], _ place: Int, _ width: Int) -> UInt32 {
    (0..<width).reduce(0) { $0 | UInt32(bytes[place + $1]) << (8 * UInt32($1)) }
  }

  private static func row(
    _ bytes: [UInt8], _ start: Int, _ kept: Int, _ drawn: Int, _ width: Int
  ) -> ReferenceRow {
    let all = kept + drawn
    func token(_ place: Int) -> UInt32 { number(bytes, start + place * width, width) }
    func value(_ place: Int) -> Float {
      Float(bitPattern: number(bytes, start + all * width + 4 * place, 4))
    }
    return ReferenceRow(
      tokens: (0..<kept).map(token), logs: (0..<kept).map(value), drawn: (kept..<all).map(token),
      drawnLogs: (kept..<all).map(value), tail: value(all), truth: value(all + 1), logSum: value(all + 2))
  }

  private static func isValid(_ row: ReferenceRow, vocabulary: Int) -> Bool {
    (row.tokens + row.drawn).allSatisfy { $0 < vocabulary }
      && (row.logs + row.drawnLogs).allSatisfy { $0.isFinite && $0 <= 1e-3 }
      && (0...1.001).contains(row.tail) && row.truth.isFinite && row.logSum.isFinite
  }
}

extension ReferenceCache {
  /// The rows in `shape`.
  fileprivate func rows(of shape: ReferenceShape) -> [ReferenceRow] {
    switch storage {
    case .likeliest(let rows):
      precondition(rows.allSatisfy { $0.tokens.count <= shape.likeliest }, "recorded in another shape")
      return rows
    case .whole(let values, let truth):
      let columns = key.vocabulary
      let rows = Locked([ReferenceRow?](repeating: nil, count: truth.count))
      Parallel.forEach(truth.count) { index in
        let row = values.withUnsafeBufferPointer {
          ReferenceRow(
            UnsafeBufferPointer(rebasing: $0[index * columns..<(index + 1) * columns]), shape: shape,
            truth: truth[index], number: index)
        }
        rows.withLock { $0[index] = row }
      }
      return rows.withLock { $0 }.compactMap { $0 }
    }
  }
}
