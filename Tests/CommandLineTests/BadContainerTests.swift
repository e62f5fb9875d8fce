import Testing

/// Each container, wrong in one way at a time. The messages are snapshots: they are what users see.
@Suite("Bad containers")
struct BadContainerTests {
  @Test("safetensors: lengths, offsets, shapes, types and names that cannot be")
  func safetensorsFiles() throws {
    let good = entry("a", 0, 32)
    try Refusal.checkAll(
      [
        ("header longer than the file", Bytes.u64(1000) + Array("{}".utf8)),
        ("header of 2^63 bytes", Bytes.u64(1 << 63) + Array("{\"a\":".utf8) + Bytes.zeros(64)),
        ("header of 2^64-1 bytes", Bytes.u64(.max) + Array("{\"a\":".utf8) + Bytes.zeros(64)),
        ("header is no JSON", safetensors("{\"a\": nonsense}")),
        ("header cut inside", safetensors("{\(good)", data: 32)),
        ("entry is no object", safetensors("{\"a\":7}")),
        ("no data", safetensors("{\(good)}", data: 0)),
        ("data too short", safetensors("{\(good)}", data: 31)),
        ("data left over", safetensors("{\(good)}", data: 33)),
        ("overlap", safetensors("{\(good),\(entry("b", 16, 48))}", data: 48)),
        ("hole", safetensors("{\(good),\(entry("b", 40, 72))}", data: 72)),
        ("out of range", safetensors("{\(entry("a", 1 << 40, 1 << 40 + 32))}")),
        ("reversed offsets", safetensors("{\(entry("a", 32, 0))}")),
        ("negative offset", safetensors("{\(entry("a", -32, 0))}")),
        (
          "shape product overflows",
          safetensors("{\(entry("a", type: "F32", shape: "[4294967296,4294967296,2]", 0, 32))}")
        ),
        ("negative size", safetensors("{\(entry("a", type: "F32", shape: "[-2,-4]", 0, 32))}")),
        (
          "shape and bytes disagree",
          safetensors("{\(entry("a", type: "F32", shape: "[3,4]", 0, 32))}", data: 32)
        ),
        ("fractional size", safetensors("{\(entry("a", type: "F32", shape: "[2.5,4]", 0, 32))}", data: 32)),
        ("unknown dtype", safetensors("{\(entry("a", type: "F7", shape: "[2,4]", 0, 32))}", data: 32)),
        ("name twice", safetensors("{\(good),\(entry("a", 32, 64))}", data: 64)),
        ("no tensors", safetensors("{}", data: 0)),
        (
          "nested brackets",
          safetensors("{\"a\":" + String(repeating: "[", count: 100_000), data: 0)
        ),
        (
          "control characters in a name",
          safetensors("{\(entry("a\\u001b[31m\\n", type: "F7", shape: "[2,4]", 0, 32))}", data: 32)
        ),
      ], file: "bad.safetensors", snapshot: "errors-safetensors")
  }

  @Test("GGUF: versions, counts, strings, types, shapes, offsets and names that cannot be")
  func ggufFiles() throws {
    func file(_ change: (inout GGUF) -> Void) -> [UInt8] {
      var file = GGUF()
      change(&file)
      return file.bytes
    }
    func tensors(_ tensors: [UInt8]...) -> [UInt8] { file { $0.tensors = tensors } }
    let good = GGUF.tensor("a.weight", [4, 2], type: 0, offset: 0)
    try Refusal.checkAll(
      [
        ("version 1", file { $0.version = 1 }), ("version 99", file { $0.version = 99 }),
        ("big-endian", file { $0.version = 0x0300_0000 }),
        ("2^60 tensors", file { $0.tensorCount = 1 << 60 }), ("2^60 keys", file { $0.keyCount = 1 << 60 }),
        ("one key too many", file { $0.keyCount = 2 }),
        ("key of 2^62 bytes", file { $0.keys = [Bytes.u64(1 << 62) + Array("abc".utf8)] }),
        ("value type 99", file { $0.keys = [GGUF.string("k") + Bytes.u32(99)] }),
        (
          "array of 2^61 numbers",
          file { $0.keys = [GGUF.string("k") + Bytes.u32(9) + Bytes.u32(4) + Bytes.u64(1 << 61)] }
        ),
        (
          "arrays in arrays",
          file {
            $0.keys = [
              GGUF.string("k") + Bytes.u32(9) + (0..<5000).flatMap { _ in Bytes.u32(9) + Bytes.u64(1) }
            ]
          }
        ),
        ("key twice", file { $0.keys += $0.keys }),
        ("alignment 0", file { $0.keys.append(GGUF.number("general.alignment", 0)) }),
        ("alignment 7", file { $0.keys.append(GGUF.number("general.alignment", 7)) }),
        ("unknown type", tensors(GGUF.tensor("a.weight", [4, 2], type: 77, offset: 0))),
        (
          "shape product overflows", tensors(GGUF.tensor("a.weight", [1 << 40, 1 << 40], type: 0, offset: 0))
        ),
        ("size over 2^63", tensors(GGUF.tensor("a.weight", [.max, 2], type: 0, offset: 0))),
        ("2^31 dimensions", tensors(GGUF.string("a") + Bytes.u32(1 << 31))),
        ("rows no whole blocks", tensors(GGUF.tensor("a.weight", [33, 2], type: 8, offset: 0))),
        ("offset out of range", tensors(GGUF.tensor("a.weight", [4, 2], type: 0, offset: 1 << 40))),
        ("offset of 2^64-32", tensors(GGUF.tensor("a.weight", [4, 2], type: 0, offset: .max - 31))),
        ("offset not aligned", tensors(GGUF.tensor("a.weight", [4, 2], type: 0, offset: 5))),
        ("overlap", tensors(good, GGUF.tensor("b.weight", [4, 2], type: 0, offset: 0))),
        ("name twice", tensors(good, GGUF.tensor("a.weight", [4, 2], type: 0, offset: 32))),
        ("no tensors", tensors()),
        ("data too short", file { $0.data = Bytes.zeros(31) }),
      ], file: "bad.gguf", snapshot: "errors-gguf")
  }

  @Test("PyTorch zip: foreign calls, cycles, depth, storages and archives that cannot be")
  func torchFiles() throws {
    func pickled(_ value: [UInt8]) -> [UInt8] { Zip.checkpoint(Pickle.whole(value)).bytes }
    func tensor(_ tensor: [UInt8]) -> [UInt8] { pickled(Pickle.dictionary([("a", tensor)])) }
    let good = Pickle.whole(Pickle.dictionary([("a", Pickle.tensor())]))
    var zip = Zip.checkpoint(good)
    zip.directoryOffset = 1 << 30
    let directory = zip.bytes
    zip = Zip.checkpoint(good)
    zip.entryCount = 60000
    let count = zip.bytes
    zip = Zip.checkpoint(good)
    zip.method = 8
    let deflated = zip.bytes
    zip = Zip.checkpoint(good)
    zip.entries.append(zip.entries[0])
    let twice = zip.bytes
    var damaged = Zip.checkpoint(good).bytes
    damaged[60] ^= 0x40
    try Refusal.checkAll(
      [
        (
          "os.system",
          pickled(Pickle.global("os", "system") + Pickle.tuple([Pickle.text("touch owned")]) + [0x52])
        ),
        (
          "builtins.eval inside",
          tensor(Pickle.global("builtins", "eval") + Pickle.tuple([Pickle.text("1")]) + [0x52])
        ),
        ("a global in two strings", pickled(Pickle.text("posix") + Pickle.text("system") + [0x93])),
        ("a list in itself", pickled([0x5D, 0x71, 0, 0x68, 0, 0x61])),
        ("a dictionary in itself", pickled([0x7D, 0x71, 0] + Pickle.text("a") + [0x68, 0, 0x73])),
        ("a million marks", pickled([UInt8](repeating: 0x28, count: 1_000_000))),
        ("100000 tuples in tuples", pickled([0x29] + [UInt8](repeating: 0x85, count: 100_000))),
        ("an empty stack", pickled([0x52])), ("an unknown opcode", pickled([0xFF])),
        ("no memo", pickled([0x68, 9])), ("a string of 4 GB", pickled([0x58, 0xFF, 0xFF, 0xFF, 0xFF])),
        ("no end", Zip.checkpoint(Pickle.begin + [0x7D]).bytes), ("a number only", pickled([0x4B, 7])),
        ("an empty state", pickled([0x7D])),
        ("unknown storage", tensor(Pickle.tensor(storage: "FunnyStorage"))),
        ("storage missing", tensor(Pickle.tensor(key: "7"))),
        ("storage too short", tensor(Pickle.tensor(count: 1000, shape: [10, 100], stride: [100, 1]))),
        ("outside of its storage", tensor(Pickle.tensor(offset: 4))),
        ("shape product overflows", tensor(Pickle.tensor(shape: [.max, .max, .max], stride: [0, 0, 0]))),
        ("negative size", tensor(Pickle.tensor(shape: [-2, 4]))),
        ("negative stride", tensor(Pickle.tensor(stride: [-4, 1]))),
        ("shape and strides differ", tensor(Pickle.tensor(stride: [4]))),
        ("directory out of range", directory), ("60000 entries", count), ("compressed entries", deflated),
        ("entry twice", twice), ("a flipped bit", damaged),
        ("no pickle", Zip(entries: [("archive/version", [0x33])]).bytes),
      ], file: "bad.bin", snapshot: "errors-torch")
  }

  @Test("PyTorch legacy: the same machine, and storages behind the pickles")
  func legacyTorchFiles() throws {
    let good = Pickle.dictionary([("a", Pickle.tensor())])
    try Refusal.checkAll(
      [
        (
          "os.system",
          legacyTorch(Pickle.global("os", "system") + Pickle.tuple([Pickle.text("true")]) + [0x52])
        ),
        ("a list in itself", legacyTorch([0x5D, 0x71, 0, 0x68, 0, 0x61])),
        ("storage of another length", legacyTorch(good, storage: Bytes.u64(9) + Bytes.zeros(36))),
        ("storage of 2^62 elements", legacyTorch(good, storage: Bytes.u64(1 << 62) + Bytes.zeros(32))),
        ("storage cut", legacyTorch(good, storage: Bytes.u64(8) + Bytes.zeros(31))),
        ("no storage", legacyTorch(good, storage: [])),
      ], file: "bad.bin", snapshot: "errors-legacy")
  }

  @Test("llama2.c: headers that cannot be")
  func llama2cFiles() throws {
    /// dim, hidden_dim, layers, heads, kv_heads, vocabulary, length.
    func header(_ numbers: [Int32]) -> [UInt8] { numbers.flatMap { Bytes.u32(UInt32(bitPattern: $0)) } }
    let sizes: [Int32] = [32, 64, 2, 4, 2, 100, 16]
    func versioned(_ version: UInt32, _ numbers: [Int32], _ rest: [UInt8]) -> [UInt8] {
      let head = Array("24ka".utf8) + Bytes.u32(version) + header(numbers) + rest
      return head + Bytes.zeros(max(0, 256 - head.count)) + Bytes.zeros(4096)
    }
    func changed(_ place: Int, _ value: Int32) -> [Int32] {
      var numbers = sizes
      numbers[place] = value
      return numbers
    }
    try Refusal.checkAll(
      [
        ("v0 too short", header(sizes) + Bytes.zeros(1000)),
        ("v1 too short", versioned(1, sizes, [1])),
        ("v2 too short", versioned(2, sizes, [1] + Bytes.u32(32))),
        ("version 7", versioned(7, sizes, [1])),
        ("no dimensions", versioned(1, changed(0, 0), [1])),
        ("negative layers", versioned(1, changed(2, -1), [1])),
        ("2^31-1 of all", versioned(1, [Int32](repeating: .max, count: 7), [1])),
        ("heads do not divide", versioned(1, changed(3, 5), [1])),
        ("no heads", versioned(1, changed(3, 0), [1])),
        ("group size 0", versioned(2, sizes, [1] + Bytes.u32(0))),
        ("group size 7", versioned(2, sizes, [1] + Bytes.u32(7))),
      ], file: "bad.bin", snapshot: "errors-llama2c")
  }
}
