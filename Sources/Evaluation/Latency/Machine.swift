import TensorCore
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The machine that figures were taken on.
public struct Machine: Sendable, Equatable {
  /// The processor's name.
  public var processor: String
  /// The number of logical processors that are online.
  public var processors: Int
  /// The instruction set that the kernels use: "scalar", "avx2" …
  public var instructionSet: String
  /// The bytes of main memory; nil when unknown.
  public var memory: Int?
  /// The frequency governor: "performance", "powersave" …; nil where the system does not tell, as in many
  /// virtual machines.
  public var governor: String?
  /// The operating system: "Linux 6.1.0 x86_64".
  public var system: String
  /// What the processor can do that matters to the kernels, in the system's words: "avx2", "avx512_vnni", "asimddp" …
  public var features: [String] = []

  /// A machine of these parts.
  public init(
    processor: String, processors: Int, instructionSet: String, memory: Int?, governor: String?,
    system: String
  ) {
    self.processor = processor
    self.processors = processors
    self.instructionSet = instructionSet
    self.memory = memory
    self.governor = governor
    self.system = system
  }

  /// This machine.
  public static func current() -> Machine {
    let information = SystemFile.contents("/proc/cpuinfo") ?? ""
    let governor = SystemFile.contents("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    var machine = Machine(
      processor: Machine.processorName(information), processors: max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))),
      instructionSet: Kernels.instructionSet,
      memory: SystemFile.kilobytes("MemTotal", in: SystemFile.contents("/proc/meminfo") ?? ""),
      governor: governor.map { $0.filter { !$0.isWhitespace } }, system: systemName())
    machine.features = Machine.features(information)
    return machine
  }

  /// Features that kernels could use: vectors, dot products, half precision, tiles.
  private static let known: Set<String> = [
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl",
    "avx512_vnni", "avx512vbmi", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "asimd",
    "asimddp", "asimdhp", "fphp", "i8mm", "bf16", "sve", "sve2",
  ]

  /// The known features in the text of /proc/cpuinfo, sorted: `flags` on x86, `Features` on ARM.
  package static func features(_ information: String) -> [String] {
    for line in information.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2, ["flags", "Features"].contains(SystemFile.trim(parts[0])) else { continue }
      return parts[1].split(separator: " ").map(String.init).filter(known.contains).sorted()
    }
    return []
  }

  /// The name in the text of /proc/cpuinfo: `model name` on x86, `Model` on ARM boards.
  package static func processorName(_ information: String) -> String {
    for key in ["model name", "Model", "Hardware", "cpu model"] {
      for line in information.split(separator: "\n") {
        let parts = line.split(separator: ":", maxSplits: 1)
        guard parts.count == 2, SystemFile.trim(parts[0]) == key else { continue }
        return SystemFile.trim(parts[1])
      }
    }
    return "unknown"
  }

  private static func systemName() -> String {
    var names = utsname()
    guard uname(&names) == 0 else { return "unknown" }
    func text<Value>(_ value: Value) -> String {
      withUnsafeBytes(of: value) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    return "\(text(names.sysname)) \(text(names.release)) \(text(names.machine))"
  }
}

/// The memory of this process.
public enum MemoryUse {
  /// The largest resident size since the start or the last ``resetPeak()``, in bytes; nil where it cannot be known.
  public static var peak: Int? {
    if let text = SystemFile.contents("/proc/self/status"),
      let bytes = SystemFile.kilobytes("VmHWM", in: text)
    {
      return bytes
    }
    var usage = rusage()
    guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return nil }
    return usage.ru_maxrss * 1024
  }

  /// Starts a new peak at the present size, where the system allows it.
  ///
  /// - Returns: whether it did; if not, ``peak`` stays that of the whole process.
  @discardableResult
  public static func resetPeak() -> Bool {
    let descriptor = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    // "5" resets the peak resident size: proc(5).
    return write(descriptor, "5", 1) == 1
  }
}

/// Small text files that the system makes when they are read.
enum SystemFile {
  /// The whole file, at most 1 MiB; nil when it cannot be read.
  static func contents(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 16 << 10)
    while bytes.count < 1 << 20 {
      let count = read(descriptor, &part, part.count)
      guard count > 0 else { break }
      bytes += part[..<count]
    }
    return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
  }

  /// The bytes of a line "key:   123 kB"; nil when it is not there.
  static func kilobytes(_ key: String, in text: String) -> Int? {
    for line in text.split(separator: "\n") where line.hasPrefix(key + ":") {
      let words = line.dropFirst(key.utf8.count + 1).split { $0 == " " || $0 == "\t" }
      guard let number = words.first.flatMap({ Int($0) }), number < Int.max / 1024 else { return nil }
      return number * 1024
    }
    return nil
  }

  static func trim(_ text: Substring) -> String {
    var text = text.drop { $0.isWhitespace }
    while text.last?.isWhitespace ?? false { text.removeLast() }
    return String(text)
  }
}
