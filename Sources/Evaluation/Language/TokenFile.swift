public import ModelFiles
internal import TensorCore

/// ``TokenRecords`` as a file: 13 bytes a token.
///
/// | bytes | what |
/// |---|---|
/// | 0–17 | `compress tokens 1\n` |
/// | 18–21 | u32 length of the header |
/// | … | the header: JSON with the key, `hasBaseline`, `blocks` (counts), `documents` (numbers or null), `sha256` of what follows |
/// | … | of all tokens: u32 true tokens, then f32 losses, then f32 divergences, then u8 flags (1: the true token was the likeliest, 2: the baseline's likeliest was) |
///
/// Little endian.
public enum TokenFile {
  /// The name that the file has in a stage's folder.
  public static let name = "tokens.bin"
  private static let magic = Array("compress tokens 1\n".utf8)
  private static let width = 13
  /// Blocks are named in the header: a document a line of a long text.
  private static let headerLimit = 1 << 26
  private static let tokenLimit = 1 << 28

  /// The bytes of a file.
  public static func bytes(of records: TokenRecords) -> [UInt8] {
    var body: [UInt8] = []
    body.reserveCapacity(records.tokens.count * width)
    for token in records.tokens { append(token.truth, to: &body) }
    for token in records.tokens { append(token.loss.bitPattern, to: &body) }
    for token in records.tokens { append(token.divergence.bitPattern, to: &body) }
    for token in records.tokens { body.append((token.isRight ? 1 : 0) | (token.isSameTop ? 2 : 0)) }
    let header = JSONValue.object(
      JSONObject([
        ("key", records.key.json), ("hasBaseline", .bool(records.hasBaseline)),
        ("blocks", .array(records.blocks.map { .integer($0.count) })),
        ("documents", .array(records.blocks.map { $0.document.map { .integer($0) } ?? .null })),
        ("sha256", .string(body.withUnsafeBytes { FileHash.sha256(of: $0) })),
      ]))
    let text = Array(header.text(sortedKeys: true).utf8)
    var head = magic
    append(UInt32(truncatingIfNeeded: text.count), to: &head)
    return head + text + body
  }

  /// Writes `records` to `path`, whole or not at all.
  public static func write(_ records: TokenRecords, to path: String) throws {
    let file = try AtomicFile(path: path)
    try bytes(of: records).withUnsafeBytes { try file.write($0) }
    try file.commit()
  }

  /// The records in the file at `path`.
  ///
  /// - Throws: ``FileError`` when it cannot be read; ``EvaluationError`` when it is no such file, or a damaged one.
  public static func read(_ path: String) throws -> TokenRecords {
    try read(try MappedFile(path: path).region.array, name: path)
  }

  /// The same from `bytes`.
  public static func read(_ bytes: [UInt8], name: String) throws(EvaluationError) -> TokenRecords {
    func damaged(_ what: String) -> EvaluationError {
      EvaluationError(.badReference, name, "\(what); run the job again")
    }
    guard bytes.starts(with: magic) else {
      throw EvaluationError(.badReference, name, "not a file of token records")
    }
    guard bytes.count >= magic.count + 4 else { throw damaged("the file ends in its header") }
    let start = magic.count + 4
    let length = Int(number(bytes, magic.count))
    guard length <= headerLimit, length <= bytes.count - start else {
      throw damaged("the file ends in its header")
    }
    guard let header = bytes[start..<start + length].withUnsafeBytes({ try? JSONValue(parsing: $0) }),
      let key = header["key"].flatMap({ ReferenceKey($0) }),
      let hasBaseline = header["hasBaseline"]?.boolValue, let hash = header["sha256"]?.stringValue,
      let blocks = blocks(header)
    else { throw damaged("the header is no valid one") }
    var count = 0
    for block in blocks {
      count += block.count
      guard count <= tokenLimit else { throw damaged("the header says more than \(tokenLimit) tokens") }
    }
    let first = start + length
    guard count == key.rows, bytes.count - first == count * width else {
      throw damaged("\(bytes.count - first) bytes of tokens, expected \(key.rows) of \(width)")
    }
    guard bytes[first...].withUnsafeBytes({ FileHash.sha256(of: $0) }) == hash else {
      throw damaged("the tokens do not have the checksum that the header says")
    }
    let tokens = (0..<count).map { token(bytes, first, count, $0) }
    guard
      tokens.allSatisfy({
        $0.truth < key.vocabulary && $0.loss.isFinite && $0.loss >= -1e-3 && $0.divergence.isFinite
          && $0.divergence >= -1e-3
      })
    else { throw damaged("a token holds what no prediction scores") }
    return TokenRecords(key: key, hasBaseline: hasBaseline, blocks: blocks, tokens: tokens)
  }

  /// The blocks of a header; nil when they are none.
  private static func blocks(_ header: JSONValue) -> [TokenRecords.Block]? {
    guard let counts = header["blocks"]?.arrayValue, let documents = header["documents"]?.arrayValue,
      counts.count == documents.count
    else { return nil }
    var blocks: [TokenRecords.Block] = []
    for (count, document) in zip(counts, documents) {
      guard let count = count.intValue, (1...tokenLimit).contains(count),
        document == .null || document.intValue.map({ $0 >= 0 }) ?? false
      else { return nil }
      blocks.append(.init(document: document.intValue, count: count))
    }
    return blocks
  }

  private static func token(_ bytes: [UInt8], _ first: Int, _ count: Int, _ place: Int) -> TokenRecords.Token
  {
    func value(_ column: Int) -> UInt32 { number(bytes, first + 4 * (column * count + place)) }
    let flags = bytes[first + 12 * count + place]
    return TokenRecords.Token(
      truth: value(0), loss: Float(bitPattern: value(1)), divergence: Float(bitPattern: value(2)),
      isRight: flags & 1 != 0, isSameTop: flags & 2 != 0)
  }

  private static func append(_ value: UInt32, to bytes: inout [UInt8]) {
    for shift in [0, 8, 16, 24] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
  }

  private static func number(_ bytes: [UInt8], _ place: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(bytes[place + $1]) << (8 * UInt32($1)) }
  }
}
