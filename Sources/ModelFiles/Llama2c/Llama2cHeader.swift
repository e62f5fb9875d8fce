/// The sizes at the head of a llama2.c file, and where its weights begin.
struct Llama2cHeader: Equatable {
  /// The three layouts of `export.py`.
  enum Version: Int { case v0 = 0, v1, v2 }

  let version: Version
  /// Width of the model, width of the feed-forward layer, layers, heads, key/value heads, tokens, positions.
  let width: Int, hidden: Int, layers: Int, heads: Int, keyHeads: Int, vocabulary: Int, positions: Int
  /// Whether the classifier is the embedding.
  let isShared: Bool
  /// The weights that share a scale; 0 but in version 2.
  let groupSize: Int

  /// The numbers of one head.
  var headSize: Int { width / heads }
  /// The rows of the key and value matrices.
  var keyWidth: Int { headSize * keyHeads }
  /// The first byte of the weights.
  var dataStart: Int { version == .v0 ? 28 : 256 }

  /// "ak42", little endian.
  static let magic: UInt32 = 0x616B_3432

  /// Whether `bytes` begin with the magic number of versions 1 and later.
  static func hasMagic(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.count >= 4 && bytes.loadUnaligned(as: UInt32.self).littleEndian == magic
  }

  /// Reads the header at the beginning of `bytes`.
  ///
  /// - Throws: ``ModelFileError`` when it is cut short, of a newer version, or its sizes cannot be.
  init(_ bytes: UnsafeRawBufferPointer, path: String) throws(ModelFileError) {
    var cursor = FileCursor(bytes, range: 0..<bytes.count, path: path, what: "the llama2.c header")
    var version = Version.v0
    if Llama2cHeader.hasMagic(bytes) {
      _ = try cursor.take(4)
      let number = try cursor.integer(Int32.self)
      guard number > 0, let known = Version(rawValue: Int(number)) else {
        throw ModelFileError(
          .unsupported, path: path, "llama2.c version \(number) is not known; 0 to 2 are read")
      }
      version = known
    }
    var fields: [Int] = []
    for _ in 0..<7 { fields.append(Int(try cursor.integer(Int32.self))) }
    let flag = version == .v0 ? (fields[5] > 0 ? 1 : 0) : try cursor.byte()
    groupSize = version == .v2 ? Int(try cursor.integer(Int32.self)) : 0
    guard version == .v0 || bytes.count >= 256 else {
      throw ModelFileError(
        .truncated, path: path, "the llama2.c header has 256 bytes, the file \(bytes.count)")
    }
    self.version = version
    (width, hidden, layers, heads) = (fields[0], fields[1], fields[2], fields[3])
    (keyHeads, positions) = (fields[4], fields[6])
    vocabulary = version == .v0 ? abs(fields[5]) : fields[5]
    isShared = flag == 1
    guard flag <= 1, isPlausible else {
      throw ModelFileError(
        .badStructure, path: path,
        "the llama2.c header cannot be: dim \(width), hidden_dim \(hidden), layers \(layers), heads \(heads),"
          + " kv_heads \(keyHeads), vocabulary \(fields[5]), positions \(positions), shared \(flag)"
          + (version == .v2 ? ", group size \(groupSize)" : ""))
    }
  }

  /// Whether the sizes can be those of a model: positive, sane, heads dividing what they share.
  private var isPlausible: Bool {
    let largest = 1 << 20
    guard [width, hidden, heads, keyHeads].allSatisfy({ (1...largest).contains($0) }),
      (1...4096).contains(layers),
      (1...largest * 16).contains(vocabulary), (1...largest * 64).contains(positions)
    else { return false }
    guard width % heads == 0, headSize % 2 == 0, heads % keyHeads == 0 else { return false }
    return version != .v2 || groupSize > 0
  }
}
