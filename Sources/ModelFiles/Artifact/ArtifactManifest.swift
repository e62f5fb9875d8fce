/// What an artifact says about itself, in a skippable zstd frame behind the data.
///
/// The frame: u32 magic 0x184D2A50, u32 length of the rest; `compress manifest 1\n`; SHA-256 of the JSON as 64 lower-case
/// hexadecimal digits and `\n`; the JSON, one line, keys sorted, UTF-8. It holds no dates and no paths: the same input
/// gives the same bytes.
public struct ArtifactManifest: Sendable, Equatable {
  /// The version of the manifest's layout.
  public static let currentVersion = 1

  /// A stretch of the decoded file and the zstd frames that hold it.
  public struct Part: Sendable, Equatable {
    /// The first byte in the decoded file.
    public var offset: Int
    /// The number of bytes, without padding behind them.
    public var count: Int
    /// SHA-256 of those bytes, in lower-case hexadecimal.
    public var sha256: String
    /// The first byte of its frames in the artifact; they also hold the padding behind it.
    public var packedOffset: Int
    /// The length of its frames.
    public var packedCount: Int
    /// SHA-256 of its frames as they are stored: finds damage that decoding would not notice.
    public var packedSHA256: String
  }

  /// One tensor: what it is, where its bytes lie, and their hash.
  public struct Tensor: Sendable, Equatable {
    /// The name in the decoded file.
    public var name: String
    /// The format's name: ``TensorFormat``'s raw value.
    public var format: String
    /// The sizes, outermost first.
    public var shape: [Int]
    /// Its bytes.
    public var part: Part

    /// The first byte in the decoded file.
    public var offset: Int { part.offset }
    /// The number of bytes.
    public var count: Int { part.count }
    /// SHA-256 of those bytes, in lower-case hexadecimal.
    public var sha256: String { part.sha256 }
  }

  /// The layout's version.
  public var version = ArtifactManifest.currentVersion
  /// "gguf" or "safetensors".
  public var container: String
  /// The decoded file's length.
  public var decodedSize: Int
  /// SHA-256 of the whole decoded file.
  public var sha256: String
  /// The root of the Merkle tree over the tensors' hashes, in order; how it is built: `docs/Formats.md`.
  public var merkleRoot: String
  /// The container's header, padding included.
  public var header: Part
  /// The tensors in file order.
  public var tensors: [Tensor]
  /// The zstd level.
  public var level: Int
  /// The version of libzstd, which the compressed bytes depend on.
  public var zstdVersion: String
  /// SHA-256 of each of the source's files: name → hash.
  public var source: [String: String]
  /// The resolved recipe as JSON, and the stage's place in it.
  public var recipe: JSONValue
  /// The version of `compress` that wrote it.
  public var toolVersion: String
}

extension ArtifactManifest {
  /// The manifest as JSON.
  public var json: JSONValue {
    let hashes = source.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    return .object(
      JSONObject([
        ("version", .integer(version)), ("container", .string(container)),
        ("decoded_size", .integer(decodedSize)), ("sha256", .string(sha256)),
        ("merkle_root", .string(merkleRoot)), ("header", .object(JSONObject(Self.members(of: header)))),
        (
          "tensors",
          .array(
            tensors.map {
              .object(
                JSONObject(
                  [
                    ("name", .string($0.name)), ("format", .string($0.format)),
                    ("shape", .array($0.shape.map { .integer($0) })),
                  ] + Self.members(of: $0.part)))
            })
        ),
        ("level", .integer(level)), ("zstd_version", .string(zstdVersion)),
        ("source", .object(JSONObject(hashes.map { ($0.key, .string($0.value)) }))), ("recipe", recipe),
        ("tool_version", .string(toolVersion)),
      ]))
  }

  private static func members(of part: Part) -> [(String, JSONValue)] {
    [
      ("offset", .integer(part.offset)), ("count", .integer(part.count)), ("sha256", .string(part.sha256)),
      ("packed_offset", .integer(part.packedOffset)), ("packed_count", .integer(part.packedCount)),
      ("packed_sha256", .string(part.packedSHA256)),
    ]
  }

  /// The header and the tensors, in file order, each with the name that messages use.
  var parts: [(name: String, part: Part)] {
    [("header", header)] + tensors.map { ("tensor '\($0.name)'", $0.part) }
  }
}

// MARK: - Reading

extension ArtifactManifest {
  /// Reads a manifest's JSON.
  ///
  /// Parts follow each other without overlap in the decoded file, and without a gap in the artifact.
  /// - Throws: ``ModelFileError`` of `corrupt`, or `unsupported` for another version.
  init(_ json: JSONValue, path: String) throws {
    func damaged(_ what: String) -> ModelFileError {
      ModelFileError(.corrupt, path: path, "manifest: \(what)", advice: "get the file again")
    }
    func text(_ key: String) throws -> String {
      guard let value = json[key]?.stringValue else { throw damaged("'\(key)' is missing or no string") }
      return value
    }
    func number(_ key: String) throws -> Int {
      guard let value = json[key]?.intValue, value >= 0 else {
        throw damaged("'\(key)' is missing or no size")
      }
      return value
    }
    version = try number("version")
    guard version == ArtifactManifest.currentVersion else {
      throw ModelFileError(
        .unsupported, path: path, "manifest version \(version); this program reads \(Self.currentVersion)",
        advice: "use a newer compress, or unpack it with zstd -d")
    }
    container = try text("container")
    decodedSize = try number("decoded_size")
    sha256 = try text("sha256")
    merkleRoot = try text("merkle_root")
    level = try number("level")
    zstdVersion = try text("zstd_version")
    toolVersion = try text("tool_version")
    recipe = json["recipe"] ?? .null
    source = [:]
    for (name, hash) in json["source"]?.objectValue?.members ?? [] { source[name] = hash.stringValue }
    guard let headerPart = json["header"].flatMap(Part.init) else {
      throw damaged("'header' is missing or damaged")
    }
    header = headerPart
    tensors = []
    for (place, element) in (json["tensors"]?.arrayValue ?? []).enumerated() {
      guard let tensor = Tensor(element) else { throw damaged("tensor \(place) is damaged") }
      tensors.append(tensor)
    }
    try checkPlaces(damaged)
  }

  private func checkPlaces(_ damaged: (String) -> ModelFileError) throws {
    guard FileHash.bytes(ofHexadecimal: sha256) != nil, FileHash.bytes(ofHexadecimal: merkleRoot) != nil
    else {
      throw damaged("a hash is no 64 lower-case hexadecimal digits")
    }
    var decodedEnd = 0
    var packedEnd = 0
    for (name, part) in parts {
      guard part.offset >= decodedEnd, part.count <= decodedSize - part.offset else {
        throw damaged(
          "\(name) lies at \(part.offset) + \(part.count), behind \(decodedEnd), in \(decodedSize) bytes")
      }
      let (end, overflow) = packedEnd.addingReportingOverflow(part.packedCount)
      guard part.packedOffset == packedEnd, !overflow else {
        throw damaged("the frames of \(name) start at \(part.packedOffset) instead of \(packedEnd)")
      }
      decodedEnd = part.offset + part.count
      packedEnd = end
    }
    guard header.offset == 0 else { throw damaged("the header starts at \(header.offset)") }
  }
}

extension ArtifactManifest.Part {
  fileprivate init?(_ json: JSONValue) {
    func number(_ key: String) -> Int? { json[key]?.intValue.flatMap { $0 >= 0 ? $0 : nil } }
    func hash(_ key: String) -> String? {
      json[key]?.stringValue.flatMap { FileHash.bytes(ofHexadecimal: $0) == nil ? nil : $0 }
    }
    guard let offset = number("offset"), let count = number("count"), let sha256 = hash("sha256"),
      let packedOffset = number("packed_offset"), let packedCount = number("packed_count"),
      let packedSHA256 = hash("packed_sha256")
    else { return nil }
    self.init(
      offset: offset, count: count, sha256: sha256, packedOffset: packedOffset, packedCount: packedCount,
      packedSHA256: packedSHA256)
  }
}

extension ArtifactManifest.Tensor {
  fileprivate init?(_ json: JSONValue) {
    guard let name = json["name"]?.stringValue, let format = json["format"]?.stringValue,
      let sizes = json["shape"]?.arrayValue, let part = ArtifactManifest.Part(json)
    else { return nil }
    let shape = sizes.compactMap(\.intValue)
    guard shape.count == sizes.count, shape.allSatisfy({ $0 >= 0 }) else { return nil }
    self.init(name: name, format: format, shape: shape, part: part)
  }
}

// MARK: - The frame

extension ArtifactManifest {
  private static let identification = Array("compress manifest \(currentVersion)\n".utf8)
  private static let frameHead = 8 + identification.count + 65

  /// The skippable frame that holds the manifest.
  var frame: [UInt8] {
    let text = Array(json.text().utf8)
    var frame: [UInt8] = []
    frame.append(littleEndian: Zstd.skippableMagic)
    frame.append(littleEndian: UInt32(Self.frameHead - 8 + text.count))
    frame += Self.identification
    frame += text.withUnsafeBytes { Array(FileHash.sha256(of: $0).utf8) }
    frame.append(UInt8(ascii: "\n"))
    return frame + text
  }

  /// Whether the skippable frame `bytes` is one of ours, of whatever version, rather than somebody else's.
  static func isManifest(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let name = identification.dropLast(2)  // without version and line end
    return bytes.count >= 8 + name.count && bytes.littleEndian32(at: 0) & ~15 == Zstd.skippableMagic
      && bytes[8..<(8 + name.count)].elementsEqual(name)
  }

  /// Reads the manifest of a whole skippable frame.
  ///
  /// - Throws: ``ModelFileError`` of `corrupt` when any byte of the frame was changed.
  init(frame: UnsafeRawBufferPointer, path: String) throws {
    func damaged(_ what: String) -> ModelFileError {
      ModelFileError(.corrupt, path: path, "manifest: \(what)", advice: "get the file again")
    }
    let idEnd = 8 + Self.identification.count
    guard frame.count > Self.frameHead, frame.littleEndian32(at: 0) == Zstd.skippableMagic,
      Int(frame.littleEndian32(at: 4)) == frame.count - 8
    else { throw damaged("its frame is damaged") }
    guard frame[8..<idEnd].elementsEqual(Self.identification) else {
      throw damaged("its identification is damaged, or of a version that this program does not know")
    }
    let text = UnsafeRawBufferPointer(rebasing: frame[Self.frameHead...])
    let stated = frame[idEnd..<(idEnd + 64)]
    guard stated.elementsEqual(FileHash.sha256(of: text).utf8), frame[idEnd + 64] == UInt8(ascii: "\n") else {
      throw damaged("its text does not have the SHA-256 that it states")
    }
    let document: JSONValue
    do { document = try JSONValue(parsing: text) } catch { throw damaged("\(error)") }
    try self.init(document, path: path)
  }
}
